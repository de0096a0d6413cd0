// Factories that count: arange, range, linspace, logspace, eye, randperm. ATen's out= overloads resize their result; here the size is computed when the
// call is recorded, and start and step stay run-time arguments, so that a loop over positions does not recompile. They are recorded as their
// functional overloads: (numbers..., dtype, layout, device, pin_memory) into the window of `out`.
#include <ATen/Dispatch.h>
#include <ATen/native/RangeUtils.h>
#include <ATen/MemoryOverlap.h>
#include <c10/util/strides.h>

#include <variant>

#include "csrc/aten/kernels.h"
#include "csrc/aten/resize.h"
#include "csrc/ir/op_registry.h"
#include "csrc/lazy/record.h"

namespace torch_hpu::aten {
namespace {

// A run-time number, or an integer that is structure.
using Argument = std::variant<at::Scalar, int64_t>;

at::Tensor& record_into(std::string_view op, std::initializer_list<Argument> arguments, c10::IntArrayRef sizes, at::Tensor& out,
                        const std::optional<at::Generator>& generator = std::nullopt) {
  at::assert_no_internal_overlap(out);
  if (!out.sizes().equals(sizes)) {
    resize_output(out, sizes, c10::contiguous_strides(sizes));
  }
  if (out.numel() == 0) {
    return out;
  }
  lazy::Call call(*ir::find_op(op));
  for (const Argument& argument : arguments) {
    const auto* number = std::get_if<at::Scalar>(&argument);
    number != nullptr ? call.number(*number) : call.constant(std::get<int64_t>(argument));
  }
  call.constant(static_cast<int64_t>(out.scalar_type()));
  for (size_t n = call.op->handle.schema().arguments().size(); call.args.size() < n;) {
    call.none();
  }
  if (generator && generator->defined()) {
    TORCH_CHECK(generator->device().type() == c10::DeviceType::PrivateUse1, "[", op, "] got a generator on ", generator->device(),
                ", expected one on hpu");
    call.generator = *generator;
  }
  ir::TensorMeta meta;
  meta.dtype = out.scalar_type();
  meta.sizes.assign(sizes.begin(), sizes.end());
  meta.strides.assign(out.strides().begin(), out.strides().end());
  lazy::record(call, {meta}, lazy::Destination{call.extra_window(out)}, out.device().index());
  return out;
}

// One line of n elements, or the shape of `out` when it has as many.
c10::DimVector line_of(int64_t n, const at::Tensor& out) {
  return out.numel() == n ? c10::DimVector(out.sizes()) : c10::DimVector{n};
}

}  // namespace

at::Tensor& arange_out(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step, at::Tensor& out) {
  int64_t n = 0;
  AT_DISPATCH_ALL_TYPES_AND2(at::kHalf, at::kBFloat16, out.scalar_type(), "arange",
                             [&] { n = at::native::compute_arange_size<scalar_t>(start, end, step); });
  return record_into("aten::arange.start_step", {start, end, step}, line_of(n, out), out);
}

at::Tensor& range_out(const at::Scalar& start, const at::Scalar& end, const at::Scalar& step, at::Tensor& out) {
  const double first = start.toDouble(), last = end.toDouble(), stride = step.toDouble();
  TORCH_CHECK(stride != 0, "[range] step must be nonzero");
  TORCH_CHECK(std::isfinite(first) && std::isfinite(last), "[range] unsupported range: ", first, " -> ", last);
  TORCH_CHECK(stride > 0 ? first <= last : first >= last, "[range] upper bound and lower bound inconsistent with step sign: got ", first,
              ", ", last, " and step ", stride);
  return record_into("aten::range.step", {start, end, step}, line_of(static_cast<int64_t>((last - first) / stride) + 1, out), out);
}

at::Tensor& linspace_out(const at::Scalar& start, const at::Scalar& end, int64_t steps, at::Tensor& out) {
  TORCH_CHECK(steps >= 0, "[linspace] number of steps must be non-negative: got ", steps);
  return record_into("aten::linspace", {start, end, steps}, line_of(steps, out), out);
}

at::Tensor& logspace_out(const at::Scalar& start, const at::Scalar& end, int64_t steps, double base, at::Tensor& out) {
  TORCH_CHECK(steps >= 0, "[logspace] number of steps must be non-negative: got ", steps);
  return record_into("aten::logspace", {start, end, steps, at::Scalar(base)}, line_of(steps, out), out);
}

at::Tensor& eye_out(int64_t n, int64_t m, at::Tensor& out) {
  TORCH_CHECK(n >= 0 && m >= 0, "[eye] sizes must be 0 or more: got ", n, " and ", m);
  return record_into("aten::eye.m", {n, m}, {n, m}, out);
}

at::Tensor& randperm_out(int64_t n, std::optional<at::Generator> generator, at::Tensor& out) {
  TORCH_CHECK(n >= 0, "[randperm] n must be non-negative: got ", n);
  return record_into("aten::randperm", {n}, line_of(n, out), out, generator);
}

}  // namespace torch_hpu::aten
