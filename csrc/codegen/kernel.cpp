// Kernels: code with its share of the work of each thread.
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "csrc/codegen/code.h"
#include "csrc/codegen/codegen.h"

namespace torch_hpu::codegen {
namespace {

// Cycles: below the first, entering a parallel region costs more than it saves; the second is a thread's least share.
constexpr int64_t kParallelCycles = 60000;
constexpr int64_t kGrainCycles = 20000;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

class CompiledKernel final : public Kernel {
 public:
  CompiledKernel(std::string name, const std::vector<Loop>& loops, const std::vector<Located>& located) : name_(std::move(name)) {
    Part part;
    for (size_t i = 0; i < loops.size(); ++i) {
      part.code = located[i].code;
      part.length = located[i].length;
      add_phases(part);
      parts_.push_back(part);
      uint32_t pointers = 0, offsets = 0;  // how many the loop has: its local numbers are dense
      for (const Access& a : loops[i].accesses) {
        pointers = std::max(pointers, a.buffer + 1);
        offsets = a.dynamic == ir::kNone ? offsets : std::max(offsets, a.dynamic + 1);
      }
      part.pointers += pointers;
      part.offsets += offsets;
      part.scalars += static_cast<uint32_t>(loops[i].scalars.size());
      part.partials += ceil_div(part.code->partial_bytes, 64) * 64;
    }
    partial_bytes_ = part.partials;
  }

  void run(std::byte* const* pointers, const int64_t* offsets, const ir::ScalarValue* scalars) const override {
    uint8_t faults[2] = {0, 0};
    Call call{pointers, offsets, scalars, faults, nullptr};
    if (C10_LIKELY(partial_bytes_ == 0)) {
      run_phases(call);
    } else {
      const std::unique_ptr<std::byte, void (*)(void*)> partials(
          static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>(partial_bytes_))), std::free);
      TORCH_CHECK_WITH(OutOfMemoryError, partials, "no memory for the partial results of ", name_);
      call.partials = partials.get();
      run_phases(call);
    }
    TORCH_CHECK_INDEX(!faults[static_cast<size_t>(Fault::kIndex)], "index out of range in ", name_);
    TORCH_CHECK(!faults[static_cast<size_t>(Fault::kZeroDivision)], "ZeroDivisionError: division by zero in ", name_);
  }

 private:
  // One of the loops, and where its arguments begin.
  struct Part {
    std::shared_ptr<const Code> code;
    int64_t length = 0;
    uint32_t pointers = 0, offsets = 0, scalars = 0;
    int64_t partials = 0;  // bytes
  };
  // The items of a part in one phase, laid out on a scale of cycles.
  struct Span {
    size_t part;
    Entry entry;
    int64_t items;
    int64_t item_cycles;
    int64_t begin;  // cycles
  };
  struct Phase {
    std::vector<Span> spans;
    int64_t cycles = 0;
    int64_t items = 0;
  };
  struct Call {
    std::byte* const* pointers;
    const int64_t* offsets;
    const ir::ScalarValue* scalars;
    uint8_t* faults;
    std::byte* partials;
  };

  void add_phases(const Part& part) {
    const Code& code = *part.code;
    for (size_t p = 0; p < code.phases.size(); ++p) {
      if (phases_.size() <= p) {
        phases_.emplace_back();
      }
      Phase& phase = phases_[p];
      const int64_t items = code.block != 0 ? ceil_div(part.length, code.block) : code.phases[p].items;
      phase.spans.push_back({parts_.size(), code.phases[p].entry, items, code.phases[p].cycles, phase.cycles});
      phase.cycles += items * code.phases[p].cycles;
      phase.items += items;
    }
  }

  void run_phases(const Call& call) const {
    for (const Phase& phase : phases_) {
      if (phase.items <= 1 || phase.cycles < kParallelCycles) {
        for (const Span& span : phase.spans) {
          run_items(call, span, 0, span.items);
        }
      } else {
        at::parallel_for(0, phase.cycles, kGrainCycles, [&](int64_t begin, int64_t end) { run_cycles(call, phase, begin, end); });
      }
    }
  }

  // The items whose first cycle lies in [begin, end).
  void run_cycles(const Call& call, const Phase& phase, int64_t begin, int64_t end) const {
    auto span = std::upper_bound(phase.spans.begin(), phase.spans.end(), begin, [](int64_t x, const Span& s) { return x < s.begin; }) - 1;
    for (; span != phase.spans.end() && span->begin < end; ++span) {
      const int64_t first = ceil_div(std::max<int64_t>(begin - span->begin, 0), span->item_cycles);
      const int64_t last = std::min(span->items, ceil_div(end - span->begin, span->item_cycles));
      if (first < last) {
        run_items(call, *span, first, last);
      }
    }
  }

  void run_items(const Call& call, const Span& span, int64_t first, int64_t last) const {
    const Part& part = parts_[span.part];
    if (const int64_t block = part.code->block; block != 0) {
      first *= block;
      last = std::min(last * block, part.length);
    }
    span.entry(first, last, call.pointers + part.pointers, call.offsets + part.offsets, call.scalars + part.scalars, call.faults,
               call.partials + part.partials);
  }

  std::string name_;
  std::vector<Part> parts_;
  std::vector<Phase> phases_;
  int64_t partial_bytes_ = 0;
};

}  // namespace

std::vector<std::shared_ptr<const Kernel>> compile(const std::vector<std::vector<Loop>>& groups) {
  std::vector<Loop> loops;
  for (const auto& group : groups) {
    loops.insert(loops.end(), group.begin(), group.end());
  }
  const std::vector<Located> located = find_code(loops);
  std::vector<std::shared_ptr<const Kernel>> kernels;
  auto next = located.begin();
  for (const auto& group : groups) {
    const auto end = next + static_cast<std::ptrdiff_t>(group.size());
    kernels.push_back(std::make_shared<CompiledKernel>(group_name(group), group, std::vector<Located>(next, end)));
    next = end;
  }
  return kernels;
}

std::vector<std::shared_ptr<const Kernel>> compile(const std::vector<Loop>& loops) {
  std::vector<std::vector<Loop>> groups;
  for (const Loop& loop : loops) {
    groups.push_back({loop});
  }
  return compile(groups);
}

std::string group_name(const std::vector<Loop>& group) {
  return group.size() == 1 ? group[0].name : group[0].name + "_and_" + std::to_string(group.size() - 1) + "_more";
}

}  // namespace torch_hpu::codegen
