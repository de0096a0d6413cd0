// Kernels of the device that are not the boxed one: what makes tensors, moves bytes between host and device, or only changes
// metadata. register.cpp binds them to their ops.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymIntArrayRef.h>

#include <array>
#include <tuple>

namespace torch_hpu::aten {

// factories.cpp
at::Tensor empty_memory_format(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                               std::optional<c10::Device> device, std::optional<bool> pin_memory,
                               std::optional<c10::MemoryFormat> memory_format);
at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                         std::optional<c10::Layout> layout, std::optional<c10::Device> device, std::optional<bool> pin_memory);

at::Tensor kaiser_window(int64_t length, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                         std::optional<c10::Device> device, std::optional<bool> pin_memory);
at::Tensor kaiser_window_periodic(int64_t length, bool periodic, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout> layout,
                                  std::optional<c10::Device> device, std::optional<bool> pin_memory);
at::Tensor kaiser_window_beta(int64_t length, bool periodic, double beta, std::optional<c10::ScalarType> dtype,
                              std::optional<c10::Layout> layout, std::optional<c10::Device> device, std::optional<bool> pin_memory);

// copy.cpp: host and device
at::Tensor copy_from(const at::Tensor& self, const at::Tensor& dst, bool non_blocking);
at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& dst);
at::Scalar local_scalar_dense(const at::Tensor& self);

// views.cpp: metadata only
at::Tensor as_strided(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<int64_t> storage_offset);
const at::Tensor& as_strided_(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride,
                              std::optional<int64_t> storage_offset);
at::Tensor view(const at::Tensor& self, c10::IntArrayRef size);
at::Tensor reshape_alias(const at::Tensor& self, c10::IntArrayRef size, c10::IntArrayRef stride);
at::Tensor unfold(const at::Tensor& self, int64_t dimension, int64_t size, int64_t step);
at::Tensor view_as_real(const at::Tensor& self);
at::Tensor view_as_complex(const at::Tensor& self);
const at::Tensor& resize_(const at::Tensor& self, c10::IntArrayRef size, std::optional<c10::MemoryFormat> memory_format);
at::Tensor& set_source_storage_offset(at::Tensor& self, at::Storage source, int64_t storage_offset, c10::IntArrayRef size,
                                      c10::IntArrayRef stride);
at::Tensor& set_source_storage(at::Tensor& self, at::Storage source);
at::Tensor& set_source_tensor(at::Tensor& self, const at::Tensor& source);
at::Tensor& set_empty(at::Tensor& self);
bool is_set_to(const at::Tensor& self, const at::Tensor& tensor);
bool has_compatible_shallow_copy_type(const at::Tensor& self, const at::Tensor& from);
void record_stream(at::Tensor& self, c10::Stream stream);

// ranges.cpp: factories whose size depends on numbers
at::Tensor& arange_out(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step, at::Tensor& out);
at::Tensor& range_out(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step, at::Tensor& out);
at::Tensor& linspace_out(const at::Scalar& start, const at::Scalar& end, int64_t steps, at::Tensor& out);
at::Tensor& logspace_out(const at::Scalar& start, const at::Scalar& end, int64_t steps, double base, at::Tensor& out);
at::Tensor& eye_out(int64_t n, int64_t m, at::Tensor& out);
at::Tensor& randperm_out(int64_t n, std::optional<at::Generator> generator, at::Tensor& out);

// index_decompositions.cpp
at::Tensor& masked_scatter_(at::Tensor& self, const at::Tensor& mask, const at::Tensor& source);
at::Tensor masked_scatter(const at::Tensor& self, const at::Tensor& mask, const at::Tensor& source);
at::Tensor masked_scatter_backward(const at::Tensor& grad_output, const at::Tensor& mask, c10::IntArrayRef sizes);
at::Tensor repeat_interleave(const at::Tensor& repeats, std::optional<int64_t> output_size);
at::Tensor trace(const at::Tensor& self);
at::Tensor max_unpool2d(const at::Tensor& self, const at::Tensor& indices, c10::IntArrayRef output_size);
at::Tensor max_unpool3d(const at::Tensor& self, const at::Tensor& indices, c10::IntArrayRef output_size, c10::IntArrayRef stride,
                        c10::IntArrayRef padding);

// embedding_bag.cpp
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> embedding_bag(const at::Tensor& weight, const at::Tensor& indices,
                                                                         const at::Tensor& offsets, bool scale_grad_by_freq, int64_t mode,
                                                                         bool sparse, const std::optional<at::Tensor>& per_sample_weights,
                                                                         bool include_last_offset, int64_t padding_idx);
at::Tensor embedding_bag_dense_backward(const at::Tensor& grad, const at::Tensor& indices, const at::Tensor& offset2bag,
                                        const at::Tensor& bag_size, const at::Tensor& maximum_indices, int64_t num_weights,
                                        bool scale_grad_by_freq, int64_t mode, const std::optional<at::Tensor>& per_sample_weights,
                                        int64_t padding_idx);
at::Tensor embedding_bag_backward(const at::Tensor& grad, const at::Tensor& indices, const at::Tensor& offsets,
                                  const at::Tensor& offset2bag, const at::Tensor& bag_size, const at::Tensor& maximum_indices,
                                  int64_t num_weights, bool scale_grad_by_freq, int64_t mode, bool sparse,
                                  const std::optional<at::Tensor>& per_sample_weights, int64_t padding_idx);
at::Tensor embedding_bag_per_sample_weights_backward(const at::Tensor& grad, const at::Tensor& weight, const at::Tensor& indices,
                                                     const at::Tensor& offsets, const at::Tensor& offset2bag, int64_t mode,
                                                     int64_t padding_idx);

// grid_sampler.cpp
at::Tensor grid_sampler_2d(const at::Tensor& input, const at::Tensor& grid, int64_t interpolation, int64_t padding, bool align_corners);
at::Tensor grid_sampler_3d(const at::Tensor& input, const at::Tensor& grid, int64_t interpolation, int64_t padding, bool align_corners);
std::tuple<at::Tensor, at::Tensor> grid_sampler_backward(const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& grid,
                                                         int64_t interpolation, int64_t padding, bool align_corners,
                                                         std::array<bool, 2> output_mask);

// gradient_scaler.cpp
void amp_unscale_(at::TensorList grads, at::Tensor& found_inf, const at::Tensor& inv_scale);
at::Tensor& amp_update_scale_(at::Tensor& scale, at::Tensor& growth_tracker, const at::Tensor& found_inf, double growth_factor,
                              double backoff_factor, int64_t growth_interval);

// decompositions.cpp: ops that ATen implements on accelerators by fused kernels of their own
at::Tensor addbmm(const at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2, const at::Scalar& beta,
                  const at::Scalar& alpha);
at::Tensor& addbmm_(at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2, const at::Scalar& beta, const at::Scalar& alpha);
std::tuple<at::Tensor, at::Tensor, at::Tensor> fused_lstm_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates,
                                                               const at::Tensor& cx, const std::optional<at::Tensor>& input_bias,
                                                               const std::optional<at::Tensor>& hidden_bias);
std::tuple<at::Tensor, at::Tensor, at::Tensor> fused_lstm_cell_backward_impl(const std::optional<at::Tensor>& grad_hy,
                                                                             const std::optional<at::Tensor>& grad_cy, const at::Tensor& cx,
                                                                             const at::Tensor& cy, const at::Tensor& workspace,
                                                                             bool has_bias);
std::tuple<at::Tensor, at::Tensor> fused_gru_cell(const at::Tensor& input_gates, const at::Tensor& hidden_gates, const at::Tensor& hx,
                                                  const std::optional<at::Tensor>& input_bias,
                                                  const std::optional<at::Tensor>& hidden_bias);
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor> fused_gru_cell_backward(const at::Tensor& grad_hy,
                                                                                               const at::Tensor& workspace, bool has_bias);
at::Tensor rrelu_with_noise(const at::Tensor& self, at::Tensor& noise, const at::Scalar& lower, const at::Scalar& upper, bool training,
                            std::optional<at::Generator> generator);
at::Tensor& rrelu_with_noise_(at::Tensor& self, at::Tensor& noise, const at::Scalar& lower, const at::Scalar& upper, bool training,
                              std::optional<at::Generator> generator);

// attention.cpp
int64_t choose_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const std::optional<at::Tensor>& mask,
                         double dropout_p, bool is_causal, std::optional<double> scale, bool enable_gqa);
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, c10::SymInt, c10::SymInt, at::Tensor, at::Tensor, at::Tensor> fused_attention(
    const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const std::optional<at::Tensor>& bias, double dropout_p,
    bool is_causal, bool return_debug_mask, std::optional<double> scale);
std::tuple<at::Tensor, at::Tensor> native_multi_head_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                                                               int64_t embed_dim, int64_t num_head, const at::Tensor& qkv_weight,
                                                               const at::Tensor& qkv_bias, const at::Tensor& proj_weight,
                                                               const at::Tensor& proj_bias, const std::optional<at::Tensor>& mask,
                                                               bool need_weights, bool average_attn_weights,
                                                               std::optional<int64_t> mask_type);

}  // namespace torch_hpu::aten
