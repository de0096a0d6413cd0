// The shape inference rules that rows of the op table name. Sizes, dtypes and strides equal those of ATen's CPU kernels.
#pragma once

#include "csrc/ir/infer.h"

namespace torch_hpu::ir::rules {

// Pointwise ops, by how ATen promotes: tensors and the scalar arguments of `Scalars` (bit i: argument i) take part.
enum class Promote : uint8_t {
  kCommon,       // the common dtype
  kFloat,        // the common dtype, integers become the default float dtype
  kBool,         // computed in the common dtype, the result is Bool
  kFirst,        // the dtype of the first tensor
  kSecondThird,  // the common dtype of arguments 1 and 2 (where)
};
void pointwise(InferContext& c, Promote promote, uint64_t scalars);
template <Promote P, uint64_t Scalars = 0>
void pointwise(InferContext& c) {
  pointwise(c, P, Scalars);
}

void rsub(InferContext& c);
void divide_mode(InferContext& c);      // div with rounding_mode
void power_of_number(InferContext& c);  // pow(number, tensor)
void masked_fill(InferContext& c);
void real_valued(InferContext& c, Promote promote);  // of complex numbers the real dtype
template <Promote P>
void real_valued(InferContext& c) {
  real_valued(c, P);
}
void frexp(InferContext& c);      // (mantissa, exponent)
void two_alike(InferContext& c);  // two returns with the metas of a pointwise result

void like_self(InferContext& c);  // the metas of argument 0: fill, copy, random fills
void clone(InferContext& c);
void dropout(InferContext& c);  // (out, mask)

// Reductions: argument 1 is dim, 2 keepdim (when there are any)
enum class Reduced : uint8_t { kSum, kMean, kSame, kBool, kLong, kFloat };
void reduction(InferContext& c, Reduced dtype, int dtype_arg);
template <Reduced R, int DtypeArg = -1>
void reduction(InferContext& c) {
  reduction(c, R, DtypeArg);
}
void var_correction(InferContext& c);
void var_mean_correction(InferContext& c);
void vector_norm(InferContext& c);
void values_and_indices(InferContext& c);  // max.dim, min.dim
void any_all_dims(InferContext& c);
void both_extremes(InferContext& c);  // aminmax
void count_nonzero(InferContext& c);
void renorm(InferContext& c);
void cumulative(InferContext& c);          // cumsum, cumprod
void cumulative_extreme(InferContext& c);  // cummax, cummin
void cumulative_logsumexp(InferContext& c);

void bucketize(InferContext& c);
void searchsorted(InferContext& c);
void isin(InferContext& c);

void softmax(InferContext& c);
void softmax_backward(InferContext& c);
void layer_norm(InferContext& c);
void layer_norm_backward(InferContext& c);
void group_norm(InferContext& c);
void group_norm_backward(InferContext& c);
void batch_norm(InferContext& c);
void batch_norm_backward(InferContext& c);
void weight_norm(InferContext& c);
void weight_norm_backward(InferContext& c);

void mm(InferContext& c);
void bmm(InferContext& c);
void addmm(InferContext& c);
void baddbmm(InferContext& c);
void mv(InferContext& c);
void addmv(InferContext& c);
void dot(InferContext& c);
void attention(InferContext& c);
void attention_backward(InferContext& c);
void convolution(InferContext& c);
void convolution_backward(InferContext& c);
// Pooling over n spatial dims
void max_pool(InferContext& c, size_t n);
void avg_pool(InferContext& c, size_t n);
void adaptive_max_pool(InferContext& c, size_t n);
void adaptive_avg_pool(InferContext& c, size_t n);
template <void (*Rule)(InferContext&, size_t), size_t N>
void of_dims(InferContext& c) {
  Rule(c, N);
}
void pool_backward(InferContext& c);

void embedding(InferContext& c);
void embedding_backward(InferContext& c);
void index_select(InferContext& c);
void gather(InferContext& c);
void scatter(InferContext& c);
void index_update(InferContext& c);  // index_add and its kin
void index_fill(InferContext& c);
void index_put(InferContext& c);
void put(InferContext& c);
void take(InferContext& c);
void cat(InferContext& c);
void triangle_indices(InferContext& c, bool upper);  // tril_indices, triu_indices
template <bool Upper>
void triangle_indices(InferContext& c) {
  triangle_indices(c, Upper);
}
void multinomial(InferContext& c);
void dense_self(InferContext& c);   // the size and dtype of argument 0, contiguous
void empty_like(InferContext& c);   // the same in the memory order of argument 0
void log_sigmoid(InferContext& c);  // (output, buffer)
void index(InferContext& c);
void glu(InferContext& c);
void upsample(InferContext& c, size_t n);  // n spatial dims
void upsample_backward(InferContext& c, size_t n);
void pad(InferContext& c, size_t n, bool reflects);  // the last n dims
template <size_t N, bool Reflects>
void pad(InferContext& c) {
  pad(c, N, Reflects);
}
void channel_shuffle(InferContext& c);
void im2col(InferContext& c);
void col2im(InferContext& c);
void pixel_shuffle(InferContext& c);
void pixel_unshuffle(InferContext& c);
void from_sizes(InferContext& c, size_t arg);  // the dtype of argument 0, sizes from an argument, contiguous
template <size_t Arg>
void from_sizes(InferContext& c) {
  from_sizes(c, Arg);
}

void loss(InferContext& c);           // mse_loss and its kin: (input, target, reduction)
void loss_backward(InferContext& c);  // (grad, input, ...): like input
void cross_entropy(InferContext& c);  // (input, target, weight?, reduction)
void multi_margin_loss(InferContext& c);
void nll_loss2d_forward(InferContext& c);
void nll_loss_forward(InferContext& c);
void nll_loss_backward(InferContext& c);

void none(InferContext& c);  // ops that only write their arguments

}  // namespace torch_hpu::ir::rules
