// Which kernel solves a product. Small problems are timed, once per shape and machine (the disk cache keeps what was found); for large ones
// oneDNN is known to win on every machine measured, and timing them would cost more than it gains. A matrix times a vector is bound by memory,
// which repeated timing would find in a cache: there the tile kernel is taken, which reads b in the order that memory likes and needs no packed
// copy.
#include <ATen/Parallel.h>

#include <algorithm>

#include "csrc/kernels/matmul.h"
#include "csrc/kernels/shared.h"
#include "csrc/kernels/tile.h"
#include "csrc/kernels/timing.h"
#include "csrc/support/log.h"

namespace torch_hpu::kernels {
namespace {

constexpr double kTimedFlops = 4e8;
constexpr int64_t kTimedBytes = int64_t{32} << 20;
constexpr double kPackedGain = 0.95;  // a packed copy must pay for its memory

int64_t span_bytes(const MatmulProblem& p, const Side& side, int64_t rows, int64_t cols, c10::ScalarType dtype) {
  int64_t last = (rows - 1) * side.row + (cols - 1) * side.col;
  for (size_t d = 0; d < p.batch.size(); ++d) {
    last += (p.batch[d] - 1) * side.batch[d];
  }
  return (last + 1) * static_cast<int64_t>(c10::elementSize(dtype));
}

int64_t total_bytes(const MatmulProblem& p) {
  return span_bytes(p, p.a, p.m, p.k, p.dtype) + span_bytes(p, p.b, p.k, p.n, p.dtype) + span_bytes(p, p.out, p.m, p.n, p.dtype);
}

// The problem that is timed: of a very wide one, its first columns.
MatmulProblem sample(MatmulProblem p) {
  while (p.batch.empty() && p.n > 2048 && total_bytes(p) > kTimedBytes) {
    p.n /= 2;
  }
  return p;
}

// Memory for all operands of a problem.
struct Operands {
  std::vector<AlignedBytes> memory;
  MatmulPointers pointers;

  explicit Operands(const MatmulProblem& p) {
    pointers.a = add(span_bytes(p, p.a, p.m, p.k, p.dtype), p.dtype);
    pointers.b = add(span_bytes(p, p.b, p.k, p.n, p.dtype), p.dtype);
    pointers.out = add(span_bytes(p, p.out, p.m, p.n, p.dtype), p.dtype);
    for (const MatmulProblem::Extra& e : p.extras) {
      if (e.tensor) {
        pointers.extras.push_back(add(span_bytes(p, e.side, p.m, p.n, e.dtype), e.dtype));
      }
    }
  }
  std::byte* add(int64_t nbytes, c10::ScalarType dtype) {
    memory.push_back(noise(static_cast<size_t>(nbytes), dtype));
    return memory.back().get();
  }
};

using Candidate = std::unique_ptr<MatmulKernel> (*)(const MatmulProblem&);

// In the order of preference when nothing is timed. The packed one is only for constant b.
constexpr Candidate kCandidates[] = {
    [](const MatmulProblem& p) { return make_onednn_matmul(p, true); },
    [](const MatmulProblem& p) { return make_onednn_matmul(p, false); },
    make_blas_matmul,
    make_tile_matmul,
};
constexpr size_t kNoCandidate = std::size(kCandidates);

size_t fastest(const MatmulProblem& p, bool constant_b) {
  Operands operands(p);
  std::vector<size_t> candidates;
  std::vector<std::unique_ptr<MatmulKernel>> kernels;
  std::vector<std::function<void()>> runs;
  for (size_t i = constant_b ? 0 : 1; i < std::size(kCandidates); ++i) {
    auto kernel = kCandidates[i](p);
    if (kernel == nullptr || (i == 0 && kernel->packed_bytes() == 0) || !kernel->prepare()) {
      continue;
    }
    MatmulPointers pointers = operands.pointers;
    if (kernel->packed_bytes() > 0) {
      std::byte* packed = operands.add(static_cast<int64_t>(kernel->packed_bytes()), p.dtype);
      kernel->pack(pointers.b, packed);
      pointers.packed_b = packed;
    }
    runs.emplace_back([kernel = kernel.get(), pointers] { kernel->run(pointers); });
    candidates.push_back(i);
    kernels.push_back(std::move(kernel));
  }
  const std::vector<double> seconds = fastest_runs(runs, 3);
  size_t winner = kNoCandidate;
  double best = 1e9;
  for (size_t c = 0; c < candidates.size(); ++c) {
    TORCH_HPU_LOG(2, "matmul " << p.m << 'x' << p.n << 'x' << p.k << " by " << kernels[c]->name() << ": " << seconds[c] * 1e6 << " us");
    const double t = candidates[c] == 0 ? seconds[c] / kPackedGain : seconds[c];
    if (t < best) {
      best = t;
      winner = candidates[c];
    }
  }
  return winner;
}

std::unique_ptr<MatmulKernel> choose(const MatmulProblem& p, bool constant_b, const std::string& key) {
  if (p.batch.empty() && p.m == 1 && p.k >= kStreamDepth) {
    if (auto kernel = make_tile_matmul(p)) {
      return kernel;
    }
  }
  const MatmulProblem timed = sample(p);
  if (timed.flops() > kTimedFlops || total_bytes(timed) > kTimedBytes) {
    for (size_t i = constant_b ? 0 : 1; i < kNoCandidate; ++i) {
      if (auto kernel = kCandidates[i](p)) {
        return kernel;
      }
    }
    return nullptr;
  }
  static auto* choices = new Choices;
  const size_t choice = choices->get(key, [&] { return fastest(timed, constant_b); });
  return choice >= kNoCandidate ? nullptr : kCandidates[choice](p);
}

}  // namespace

std::shared_ptr<const MatmulKernel> choose_matmul(const MatmulProblem& p, bool constant_b) {
  static auto* kernels = new Shared<MatmulKernel>;
  const std::string key = "matmul " + p.key() + (constant_b ? 'c' : 'v');
  return kernels->get(key, [&] { return choose(p, constant_b, key); });
}

}  // namespace torch_hpu::kernels
