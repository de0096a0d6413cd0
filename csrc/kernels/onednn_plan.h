// One way to compute a convolution (or one of its backwards), by oneDNN or by Winograd's algorithm: which layouts the primitive works in, and the
// reorders to and from the layouts that the operands have in memory.
#pragma once

#include "csrc/kernels/onednn.h"
#include "csrc/kernels/step.h"
#include "csrc/kernels/winograd.h"

namespace torch_hpu::kernels::onednn {

// A convolution call in oneDNN's terms.
struct Convolution {
  Primitive::Argument src, weights, bias, dst;  // layouts as in memory; bias.desc zero: none. Ids of the direction (DIFF_SRC ...)
  kernels::Primitive direction = kernels::Primitive::kConvolution;
  bool transposed = false;
  dnnl::memory::dims strides, dilates, padding_l, padding_r;
  std::vector<PostOp> post_ops;
  std::vector<dnnl::memory::desc> operands;  // of the post-ops that read a tensor

  double flops() const;
};

// Throws c10::Error when the call is malformed.
Convolution describe_convolution(const LibraryCall& call);

dnnl::memory::desc channels_last_of(const dnnl::memory::desc& d);

// How the activations lie inside the primitive; the weights lie as the primitive likes. kProduct: a kernel of one point as a matrix product of the
// weights with each image, all as in memory. kWinograd: not oneDNN's primitive, but ours, channels-last.
enum class Method : uint8_t { kAsInMemory, kChannelsLast, kAny, kProduct, kWinograd };

// What kWinograd gains over the others.
Winograd::Gain winograd_gain(const Convolution& c);

class Plan {
 public:
  // Throws dnnl::error when there is no implementation.
  Plan(const Convolution& c, Method method);

  // Addresses in the order src, weights, dst, bias?, operands...; packed_weights (may be null): the weights as pack() made them.
  void run(c10::ArrayRef<const void*> addresses, const void* packed_weights) const;

  // Bytes of the packed weights; 0: they are taken as they are, or computed.
  size_t packed_bytes() const {
    return packed_bytes_;
  }
  void pack(const void* weights, void* packed) const;

  // By what oneDNN computes it, see onednn.h.
  bool reference() const {
    return is_reference(implementation_);
  }
  bool needs_sgemm() const {
    return uses_sgemm(implementation_);
  }

 private:
  struct Port {                        // an argument whose layout differs inside the primitive
    std::unique_ptr<Reorder> reorder;  // null: bound directly
    size_t workspace = 0;              // its place there
  };
  void add_port(const Primitive::Argument& outside, const dnnl::memory::desc& inside, bool written);
  void add_bias(const Primitive::Argument& bias);
  void note_implementation(const char* name);
  void plan_product(const Convolution& c);
  void plan_winograd(const Convolution& c);
  void run_winograd(c10::ArrayRef<const void*> inside, bool packed) const;

  std::vector<Primitive::Argument> arguments_;
  std::vector<Port> ports_;
  std::vector<bool> written_;
  size_t workspace_bytes_ = 0;
  size_t packed_bytes_ = 0;
  std::string implementation_;
  bool has_bias_ = false;
  std::unique_ptr<Primitive> primitive_;
  std::unique_ptr<Winograd> winograd_;  // instead of the primitive
};

}  // namespace torch_hpu::kernels::onednn
