// Library calls: what is better done by a hand-tuned primitive than by generated loops. A LibraryCall is plain data that the
// compiler's passes read and rewrite (epilogues, merging); make_step() turns it into something that runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "csrc/ir/graph.h"
#include "csrc/recipe/recipe.h"

namespace torch_hpu::kernels {

// A tensor in memory as a step reads or writes it: address = buffers[buffer] + (offset + offsets[dynamic]) * itemsize.
struct Operand {
  uint32_t buffer = ir::kNone;  // kNone: an optional operand left out
  c10::ScalarType dtype = c10::ScalarType::Float;
  int64_t offset = 0;            // elements, constant
  uint32_t dynamic = ir::kNone;  // WindowId whose run-time offset (elements) is added; kNone: none
  ir::DimVector sizes;
  ir::DimVector strides;
};

// Whether its values lie side by side in the order of its dims, those along a dim of stride 0 once.
bool dense(const Operand& o);

// Roles of reads / writes / ints / floats / scalars per primitive. Optional operands have buffer kNone.
enum class Primitive : uint8_t {
  // out[B..., M, N] = alpha * a[B..., M, K] @ b[B..., K, N] (+ beta * bias, broadcastable to out) (+ beta * out's old bytes if accumulate)
  // reads: a, b, bias?; writes: out; ints: accumulate (left out: 0); any strides (a transposed operand is just strides)
  // scalars: alpha, beta (left out or kNone: 1); floats: for each scalar, 1 when its category is bool or int
  kMatmul,
  // Products of one operand, whose results are the columns of one matrix side by side. reads: a, then b[K, N], bias?[N] of each; writes: out of each;
  // scalars, floats: as kMatmul, of each
  kSiblingMatmuls,
  // ATen's convolution. reads: input, weight, bias?; writes: out
  // ints: n = spatial dims, stride[n], padding[n], dilation[n], output_padding[n], transposed, groups
  kConvolution,
  kConvolutionBackwardInput,   // reads: grad_output, weight; writes: grad_input; ints as above
  kConvolutionBackwardWeight,  // reads: grad_output, input; writes: grad_weight; ints as above
  // scaled dot-product attention without a score matrix in memory, in float, bfloat16 or half. q[B,H,L,E] k[B,G,S,E] v[B,G,S,F] (H a multiple of G)
  // reads: q, k, v, mask? (bool or additive, broadcastable to [B,H,L,S]); writes: out[B,H,L,F], logsumexp?[B,H,L] (float)
  // ints: causal; floats: scale
  kAttention,
  kAttentionBackward,  // reads: grad_out, q, k, v, mask?, out, logsumexp; writes: grad_q?, grad_k?, grad_v?
  // reads: input; writes: out, indices? (Long, as ATen); ints: n, kernel[n], stride[n], padding[n], dilation[n], ceil_mode; adaptive: n
  kMaxPool,
  kMaxPoolBackward,  // reads: grad_output, indices; writes: grad_input
  kAvgPool,  // reads: input; writes: out; ints: n, kernel[n], stride[n], padding[n], ceil_mode, count_include_pad, divisor (0: none)
  kAvgPoolBackward,          // reads: grad_output; writes: grad_input; ints as kAvgPool
  kAdaptiveAvgPool,          // reads: input; writes: out; ints: n
  kAdaptiveAvgPoolBackward,  // reads: grad_output; writes: grad_input; ints: n
  // Upsampling: reads: input; writes: out; ints: n, ResampleMode, backward (then input and out are the gradients of both), align_corners; floats: the
  // user's scale per spatial dim (0: none)
  kResample,
  // out = zeros; out[indices[i], :] += grad[i, :] (skipping padding_idx). reads: grad [I, D], indices [I]; writes: out [V, D]
  // ints: padding_idx (-1: none), scale_grad_by_freq
  kEmbeddingBackward,
  // out (already holding its values) [.., index along dim, ..] op= src. reads: index, src, out (tells passes that old bytes are used), all of out's rank;
  // writes: out; ints: dim, ScatterOp, include_self, wraps (whether indices below 0 count from the end)
  kScatter,
  // out[indices...] = or += values, as index_put_. reads: values, then one index per dim of out (kNone: full slice), then out itself; writes: out;
  // ints: accumulate
  kIndexPut,
  kScan,  // along one dim; see Scan. reads: input; writes: out (input's dtype), indices? (Long, extremes only); ints: Scan, dim
};

enum class ResampleMode : uint8_t { kNearest, kNearestExact, kLinear, kCubic, kLinearAntialias, kCubicAntialias };
enum class ScatterOp : uint8_t { kSet, kAdd, kMul, kMin, kMax, kMean };
enum class Scan : int64_t { kSum, kProduct, kLogSumExp, kMax, kMin };

// Applied to each element of writes[0] in order, in fp32, before it is stored.
struct PostOp {
  enum class Kind : uint8_t { kRelu, kGeluErf, kGeluTanh, kSilu, kSigmoid, kTanh, kScale, kAdd, kMul };
  Kind kind = Kind::kRelu;
  uint32_t operand = 0;  // kAdd, kMul: index in reads (a tensor broadcastable to the output), appended behind the roles above
  double value = 1;      // kScale
};

struct LibraryCall {
  Primitive primitive = Primitive::kMatmul;
  std::vector<Operand> reads;
  std::vector<Operand> writes;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<ir::ScalarId> scalars;
  std::vector<PostOp> post_ops;
  std::string op;  // the node's op, for errors that only data can cause: "index_add"
};

const char* name(Primitive primitive);
std::string to_string(const LibraryCall& call);

// Whether the call may leave out writes[i], i > 0.
bool optional_write(Primitive primitive, size_t i);

// Whether a library kernel exists for these dtypes, shapes and layouts (else the compiler keeps the node extern).
bool supported(const LibraryCall& call);

// Whether `post_op` can be appended to `call` and will be done by the primitive itself.
bool can_fuse(const LibraryCall& call, const PostOp& post_op, const Operand& operand);

// Builds the step: primitives, scratch sizes and thread counts are decided here, once. Weights that no step of the recipe
// writes (constant_reads[i] true) may be packed and kept per Invocation::tags, see Note [Packed weights].
std::unique_ptr<Step> make_step(const LibraryCall& call, const std::vector<bool>& constant_reads);

}  // namespace torch_hpu::kernels
