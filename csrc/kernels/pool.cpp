#include "csrc/kernels/pool.h"

namespace torch_hpu::kernels {

Pool::Pool(const LibraryCall& call) {
  const auto n = static_cast<size_t>(call.ints[0]);
  const bool backward = call.primitive == Primitive::kMaxPoolBackward || call.primitive == Primitive::kAvgPoolBackward ||
                        call.primitive == Primitive::kAdaptiveAvgPoolBackward;
  adaptive = call.ints.size() == 1;
  small = planes_of(backward ? call.reads[0] : call.writes[0], n);
  large = planes_of(backward ? call.writes[0] : call.reads[0], n);
  for (size_t d = 0; d < 3; ++d) {
    const int64_t in = large.sizes[2 + d], out = small.sizes[2 + d];
    for (int64_t o = 0; o < out; ++o) {
      if (d < 3 - n) {
        ranges[d].push_back({0, 1, 1});
      } else if (adaptive) {
        const int64_t begin = o * in / out, end = ((o + 1) * in + out - 1) / out;
        ranges[d].push_back({begin, end, end - begin});
      } else {
        const size_t i = d - (3 - n);
        const bool average = call.primitive == Primitive::kAvgPool || call.primitive == Primitive::kAvgPoolBackward;
        kernel[d] = call.ints[1 + i];
        stride[d] = call.ints[1 + n + i];
        padding[d] = call.ints[1 + 2 * n + i];
        dilation[d] = average ? 1 : call.ints[1 + 3 * n + i];
        int64_t begin = o * stride[d] - padding[d];
        int64_t end = std::min(begin + (kernel[d] - 1) * dilation[d] + 1, in + (average ? padding[d] : 0));
        const int64_t padded = end - begin;
        while (begin < 0) {
          begin += dilation[d];
        }
        end = std::min(end, in);
        const bool include_padding = average && call.ints[2 + 3 * n] != 0;
        ranges[d].push_back({begin, end, include_padding ? padded : end - begin});
      }
    }
  }
  if (call.primitive == Primitive::kAvgPool || call.primitive == Primitive::kAvgPoolBackward) {
    divisor = call.ints[3 + 3 * n];
  }
}

bool pool_supported(const LibraryCall& call) {
  const Operand &in = call.reads[0], &out = call.writes[0];
  const int64_t n = call.ints.at(0), rank = static_cast<int64_t>(in.sizes.size());
  const c10::ScalarType t = out.dtype;
  int64_t points = 1;  // indices inside a plane are counted in 32 bits
  for (size_t d = in.sizes.size() - static_cast<size_t>(std::min(n, rank)); d < in.sizes.size(); ++d) {
    points *= in.sizes[d];
  }
  const bool floating =
      t == c10::ScalarType::Float || t == c10::ScalarType::Double || t == c10::ScalarType::BFloat16 || t == c10::ScalarType::Half;
  return floating && points < int64_t{1} << 31 && in.dtype == t && n >= 1 && n <= 3 && (rank == n + 1 || rank == n + 2) &&
         out.sizes.size() == in.sizes.size();
}

}  // namespace torch_hpu::kernels
