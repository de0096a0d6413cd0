// The op table. A row: name, class, rule, structural arguments (bit i: argument i), random.
#include "csrc/ir/infer_rules.h"
#include "csrc/ir/op.h"

namespace torch_hpu::ir {
namespace {

using rules::Promote;
using rules::Reduced;
constexpr OpClass L = OpClass::kLowered, Lib = OpClass::kLibrary;
constexpr InferRule common = rules::pointwise<Promote::kCommon>, floats = rules::pointwise<Promote::kFloat>,
                    bools = rules::pointwise<Promote::kBool>, first = rules::pointwise<Promote::kFirst>;
constexpr InferRule common_scalar = rules::pointwise<Promote::kCommon, 2>, floats_scalar = rules::pointwise<Promote::kFloat, 2>,
                    bools_scalar = rules::pointwise<Promote::kBool, 2>;

constexpr OpRow kRows[] = { // constant: ops are registered before dynamic initialisation ends
    // arithmetic
    {"add.Tensor", L, common}, {"add.Scalar", L, common_scalar}, {"sub.Tensor", L, common}, {"sub.Scalar", L, common_scalar},
    {"rsub.Tensor", L, rules::rsub}, {"rsub.Scalar", L, common_scalar}, {"mul.Tensor", L, common}, {"mul.Scalar", L, common_scalar},
    {"div.Tensor", L, floats}, {"div.Scalar", L, floats_scalar}, {"maximum", L, common}, {"minimum", L, common}, {"fmax", L, common},
    {"fmin", L, common}, {"atan2", L, floats}, {"pow.Tensor_Tensor", L, common}, {"pow.Tensor_Scalar", L, common_scalar, 2},
    {"pow.Scalar", L, rules::power_of_number}, {"remainder.Tensor", L, common}, {"remainder.Scalar", L, common_scalar},
    {"fmod.Tensor", L, common}, {"fmod.Scalar", L, common_scalar}, {"addcmul", L, common}, {"addcdiv", L, common},
    {"lerp.Scalar", L, common}, {"lerp.Tensor", L, common}, {"where.self", L, rules::pointwise<Promote::kSecondThird>},
    {"clamp", L, rules::pointwise<Promote::kCommon, 6>}, {"clamp.Tensor", L, common}, {"clamp_min", L, common_scalar},
    {"clamp_max", L, common_scalar}, {"clamp_min.Tensor", L, common}, {"clamp_max.Tensor", L, common},
    {"masked_fill.Scalar", L, rules::masked_fill}, {"masked_fill.Tensor", L, rules::masked_fill}, {"div.Tensor_mode", L, rules::divide_mode},
    {"floor_divide", L, common}, {"hypot", L, common}, {"nextafter", L, common}, {"copysign.Tensor", L, floats}, {"logaddexp", L, common},
    {"logaddexp2", L, common}, {"xlogy.Tensor", L, floats}, {"heaviside", L, common},
    // comparison and logic
    {"eq.Tensor", L, bools}, {"eq.Scalar", L, bools_scalar}, {"ne.Tensor", L, bools}, {"ne.Scalar", L, bools_scalar}, {"lt.Tensor", L, bools},
    {"lt.Scalar", L, bools_scalar}, {"le.Tensor", L, bools}, {"le.Scalar", L, bools_scalar}, {"gt.Tensor", L, bools}, {"gt.Scalar", L, bools_scalar},
    {"ge.Tensor", L, bools}, {"ge.Scalar", L, bools_scalar}, {"logical_and", L, bools}, {"logical_or", L, bools}, {"logical_xor", L, bools},
    {"logical_not", L, bools}, {"isnan", L, bools}, {"bitwise_and.Tensor", L, common}, {"bitwise_or.Tensor", L, common},
    {"bitwise_xor.Tensor", L, common}, {"bitwise_not", L, common}, {"__lshift__.Scalar", L, common_scalar}, {"__lshift__.Tensor", L, common},
    {"bitwise_left_shift.Tensor", L, common}, {"__rshift__.Scalar", L, common_scalar}, {"__rshift__.Tensor", L, common},
    {"bitwise_right_shift.Tensor", L, common}, {"isposinf", L, bools}, {"isneginf", L, bools}, {"signbit", L, bools},
    // unary
    {"neg", L, common}, {"abs", L, common}, {"sign", L, common}, {"floor", L, common}, {"ceil", L, common}, {"trunc", L, common},
    {"round", L, common}, {"exp", L, floats}, {"exp2", L, floats}, {"expm1", L, floats}, {"log", L, floats}, {"log2", L, floats},
    {"log10", L, floats}, {"log1p", L, floats}, {"sqrt", L, floats}, {"rsqrt", L, floats}, {"reciprocal", L, floats}, {"sin", L, floats},
    {"cos", L, floats}, {"tan", L, floats}, {"asin", L, floats}, {"acos", L, floats}, {"atan", L, floats}, {"sinh", L, floats},
    {"cosh", L, floats}, {"tanh", L, floats}, {"asinh", L, floats}, {"acosh", L, floats}, {"atanh", L, floats}, {"erf", L, floats},
    {"erfc", L, floats}, {"sigmoid", L, floats}, {"sgn", L, common}, {"round.decimals", L, common}, {"frac", L, common},
    {"nan_to_num", L, common}, {"erfinv", L, floats}, {"lgamma", L, floats}, {"digamma", L, floats}, {"logit", L, floats},
    {"logit_backward", L, common},
    // activations
    {"relu", L, common}, {"gelu", L, common}, {"gelu_backward", L, common}, {"silu", L, common}, {"silu_backward", L, common},
    {"sigmoid_backward", L, common}, {"tanh_backward", L, common}, {"hardtanh", L, common}, {"hardtanh_backward", L, common},
    {"hardswish", L, common}, {"hardswish_backward", L, common}, {"hardsigmoid", L, common}, {"hardsigmoid_backward", L, common},
    {"leaky_relu", L, common}, {"leaky_relu_backward", L, common}, {"elu", L, common}, {"softplus", L, common},
    {"softplus_backward", L, common}, {"mish", L, common}, {"threshold", L, common}, {"threshold_backward", L, common},
    {"elu_backward", L, common}, {"hardshrink", L, common}, {"hardshrink_backward", L, common}, {"softshrink", L, common},
    {"softshrink_backward", L, common}, {"_prelu_kernel", L, common}, {"_prelu_kernel_backward", L, rules::two_alike},
    {"log_sigmoid_forward", L, rules::log_sigmoid}, {"log_sigmoid_backward", L, common}, {"native_dropout_backward", L, first},
    {"glu", L, rules::glu}, {"glu_backward", L, rules::loss_backward},
    // copies and fills
    {"clone", L, rules::clone}, {"copy", L, rules::like_self}, {"fill.Scalar", L, rules::like_self}, {"fill.Tensor", L, rules::like_self},
    {"zero", L, rules::like_self},
    // random
    {"uniform", L, rules::like_self, 0, true}, {"normal_functional", L, rules::like_self, 0, true},
    {"bernoulli.p", L, rules::like_self, 0, true}, {"bernoulli", L, rules::like_self, 0, true},
    {"bernoulli.Tensor", OpClass::kExtern, rules::like_self, 0, true}, {"random", OpClass::kExtern, rules::like_self, 0, true},
    {"random.from", OpClass::kExtern, rules::like_self, 0, true}, {"random.to", OpClass::kExtern, rules::like_self, 0, true},
    {"exponential", OpClass::kExtern, rules::like_self, 0, true}, {"native_dropout", L, rules::dropout, 0, true},
    // reductions
    {"sum", L, rules::reduction<Reduced::kSum, 1>}, {"sum.dim_IntList", L, rules::reduction<Reduced::kSum, 3>},
    {"mean", L, rules::reduction<Reduced::kMean, 1>}, {"mean.dim", L, rules::reduction<Reduced::kMean, 3>},
    {"prod", L, rules::reduction<Reduced::kSum, 1>}, {"prod.dim_int", L, rules::reduction<Reduced::kSum, 3>},
    {"amax", L, rules::reduction<Reduced::kSame>}, {"amin", L, rules::reduction<Reduced::kSame>}, {"max", L, rules::reduction<Reduced::kSame>},
    {"min", L, rules::reduction<Reduced::kSame>}, {"max.dim", L, rules::values_and_indices}, {"min.dim", L, rules::values_and_indices},
    {"argmax", L, rules::reduction<Reduced::kLong>}, {"argmin", L, rules::reduction<Reduced::kLong>},
    {"any", L, rules::reduction<Reduced::kBool>}, {"any.dim", L, rules::reduction<Reduced::kBool>},
    {"all", L, rules::reduction<Reduced::kBool>}, {"all.dim", L, rules::reduction<Reduced::kBool>},
    {"var.correction", L, rules::var_correction, 4}, {"std.correction", L, rules::var_correction, 4},
    {"var_mean.correction", L, rules::var_mean_correction, 4}, {"linalg_vector_norm", L, rules::vector_norm, 2},
    {"norm.ScalarOpt_dim", L, rules::vector_norm, 2}, {"std_mean.correction", L, rules::var_mean_correction, 4},
    {"logsumexp", L, rules::reduction<Reduced::kFloat>},
    // rows
    {"_softmax", L, rules::softmax}, {"_log_softmax", L, rules::softmax}, {"_softmax_backward_data", L, rules::softmax_backward},
    {"_log_softmax_backward_data", L, rules::softmax_backward}, {"native_layer_norm", L, rules::layer_norm},
    {"native_layer_norm_backward", L, rules::layer_norm_backward}, {"native_group_norm", L, rules::group_norm},
    {"native_group_norm_backward", L, rules::group_norm_backward}, {"native_batch_norm", L, rules::batch_norm},
    {"native_batch_norm_backward", L, rules::batch_norm_backward},
    // library
    {"mm", Lib, rules::mm}, {"bmm", Lib, rules::bmm}, {"addmm", Lib, rules::addmm}, {"baddbmm", Lib, rules::baddbmm}, {"mv", Lib, rules::mv},
    {"dot", Lib, rules::dot}, {"convolution", Lib, rules::convolution}, {"convolution_backward", Lib, rules::convolution_backward},
    {"max_pool2d_with_indices", Lib, rules::max_pool2d}, {"max_pool2d_with_indices_backward", Lib, rules::max_pool2d_backward},
    {"avg_pool2d", Lib, rules::avg_pool2d}, {"avg_pool2d_backward", Lib, rules::avg_pool2d_backward},
    {"_adaptive_avg_pool2d", Lib, rules::adaptive_avg_pool2d}, {"_adaptive_avg_pool2d_backward", Lib, rules::loss_backward},
    {"embedding_dense_backward", Lib, rules::embedding_backward},
    // indexing
    {"embedding", L, rules::embedding}, {"index_select", L, rules::index_select}, {"gather", L, rules::gather}, {"cat", L, rules::cat},
    {"tril", L, rules::dense_self}, {"triu", L, rules::dense_self}, {"flip", L, rules::empty_like}, {"roll", L, rules::dense_self},
    {"select_backward", L, rules::from_sizes<1>}, {"slice_scatter", L, rules::empty_like}, {"select_scatter", L, rules::empty_like},
    {"upsample_nearest2d", L, rules::upsample_nearest, 12}, {"upsample_nearest2d_backward", L, rules::upsample_nearest_backward, 24},
    {"pixel_shuffle", L, rules::pixel_shuffle}, {"pixel_unshuffle", L, rules::pixel_unshuffle},
    {"index.Tensor", L, rules::index},
    // losses and optimizers
    {"mse_loss", L, rules::loss}, {"mse_loss_backward", L, rules::loss_backward}, {"smooth_l1_loss", L, rules::loss},
    {"smooth_l1_loss_backward", L, rules::loss_backward}, {"huber_loss", L, rules::loss}, {"huber_loss_backward", L, rules::loss_backward},
    {"binary_cross_entropy", L, rules::cross_entropy}, {"binary_cross_entropy_backward", L, rules::loss_backward},
    {"nll_loss2d_forward", L, rules::nll_loss2d_forward}, {"nll_loss2d_backward", L, rules::nll_loss_backward}, {"nll_loss_forward", L, rules::nll_loss_forward},
    {"nll_loss_backward", L, rules::nll_loss_backward}, {"_fused_adamw_", L, rules::none}, {"_fused_adam_", L, rules::none},
    {"_fused_sgd_", L, rules::none}, {"_fused_adamw_.tensor_lr", L, rules::none}, {"_fused_adam_.tensor_lr", L, rules::none},
    {"_fused_sgd_.tensor_lr", L, rules::none},
    // numbers that set a shape, or that the kernel's result depends on as a whole
    {"arange.start_out", OpClass::kExtern, nullptr, 7}, {"linspace.out", OpClass::kExtern, nullptr, 3},
    {"logspace.out", OpClass::kExtern, nullptr, 3}, {"range.out", OpClass::kExtern, nullptr, 7},
};

} // namespace

c10::ArrayRef<OpRow> op_table() {
  return kRows;
}

} // namespace torch_hpu::ir
