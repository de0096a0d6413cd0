// Scans: cumulative sums, products, logsumexp and extremes along one dim.
#include <ATen/WrapDimUtils.h>

#include "csrc/compiler/library_calls.h"
#include "csrc/compiler/loop_builder.h"

namespace torch_hpu::compiler {
namespace {

using kernels::Operand;
using kernels::Scan;

// A number: what a scan leaves of one element, and its place.
bool lower_number(LoweringContext& c, c10::ScalarType dtype) {
  if (!loopable(c)) {
    return false;
  }
  LoopBuilder b(c, "scan_of_number", {}, 0);
  b.store(c.node.writes[0], cast(b.load(c.node.args[0].index), compute_dtype(dtype)));
  if (c.node.writes.size() > 1) {
    b.store(c.node.writes[1], b.constant(0, c10::ScalarType::Long));
  }
  b.finish();
  return true;
}

// (self, dim, dtype?) -> values, and of the extremes (self, dim) -> (values, indices)
template <Scan kind>
bool lower_scan(LoweringContext& c) {
  c10::ScalarType dtype = c.window(0).dtype;
  if (kind == Scan::kSum || kind == Scan::kProduct) {
    const ir::Arg& given = c.node.args[2];
    dtype = given.kind == ir::Arg::Kind::kConst                ? static_cast<c10::ScalarType>(given.value.toInt())
            : c10::isIntegralType(dtype, /*includeBool=*/true) ? c10::ScalarType::Long
                                                               : dtype;
  }
  const auto rank = static_cast<int64_t>(c.window(0).sizes.size());
  if (rank == 0) {
    return lower_number(c, dtype);
  }
  if (!plain_windows(c)) {
    return false;
  }
  CallBuilder builder(c, kernels::Primitive::kScan);
  const Operand in = builder.argument(0);
  builder.call.ints = {static_cast<int64_t>(kind), at::maybe_wrap_dim(c.node.args[1].value.toInt(), rank)};
  builder.call.reads = {in.dtype == dtype ? in : builder.dense(in, dtype)};
  builder.call.writes = {builder.destination(0, dtype), builder.destination(1, c10::ScalarType::Long)};
  return builder.commit();
}

}  // namespace

std::vector<LoweringRow> scan_lowerings() {
  return {
      {"cumsum", &lower_scan<Scan::kSum>}, {"cumprod", &lower_scan<Scan::kProduct>}, {"logcumsumexp", &lower_scan<Scan::kLogSumExp>},
      {"cummax", &lower_scan<Scan::kMax>}, {"cummin", &lower_scan<Scan::kMin>},
  };
}

}  // namespace torch_hpu::compiler
