#include "csrc/compiler/emit.h"

#include <ATen/Parallel.h>

#include <atomic>
#include <future>

#include "csrc/codegen/codegen.h"
#include "csrc/compiler/in_place.h"
#include "csrc/compiler/uses.h"
#include "csrc/kernels/reference.h"
#include "csrc/support/counters.h"
#include "csrc/support/exit.h"

namespace torch_hpu::compiler {
namespace {

// The loops of one kernel, and what their local numbers stand for, one loop's after the other's.
struct KernelSource {
  std::vector<codegen::Loop> loops;
  std::vector<uint32_t> buffers, windows;
  std::vector<ir::ScalarId> scalars;

  void add(const codegen::Loop& loop) {
    codegen::Localized local = codegen::localize(loop);
    loops.push_back(std::move(local.loop));
    buffers.insert(buffers.end(), local.buffers.begin(), local.buffers.end());
    windows.insert(windows.end(), local.windows.begin(), local.windows.end());
    scalars.insert(scalars.end(), local.scalars.begin(), local.scalars.end());
  }
};

class KernelStep final : public Step {
 public:
  KernelStep(KernelSource source, std::shared_ptr<const codegen::Kernel> kernel)
      : name_(codegen::group_name(source.loops)),
        buffers_(std::move(source.buffers)),
        windows_(std::move(source.windows)),
        scalars_(std::move(source.scalars)),
        kernel_(std::move(kernel)) {}

  void run(const Invocation& invocation) const override {
    c10::SmallVector<std::byte*, 16> pointers(buffers_.size());
    for (size_t i = 0; i < buffers_.size(); ++i) {
      pointers[i] = invocation.buffers[buffers_[i]];
    }
    c10::SmallVector<int64_t, 16> offsets(windows_.size());
    for (size_t i = 0; i < windows_.size(); ++i) {
      offsets[i] = invocation.offsets[windows_[i]];
    }
    c10::SmallVector<ir::ScalarValue, 8> scalars(scalars_.size());
    for (size_t i = 0; i < scalars_.size(); ++i) {
      scalars[i] = invocation.scalars[scalars_[i]];
    }
    count(Counter::kKernels);
    kernel_->run(pointers.data(), offsets.data(), scalars.data());
  }
  StepKind kind() const override {
    return StepKind::kKernel;
  }
  std::string name() const override {
    return name_;
  }

 private:
  std::string name_;
  std::vector<uint32_t> buffers_, windows_;
  std::vector<ir::ScalarId> scalars_;
  std::shared_ptr<const codegen::Kernel> kernel_;
};

std::vector<bool> constant_reads(const Program& program, const kernels::LibraryCall& call) {
  std::vector<bool> constant;
  for (const kernels::Operand& o : call.reads) {
    constant.push_back(o.buffer != ir::kNone && is_constant(program, o.buffer));
  }
  return constant;
}

}  // namespace

std::unique_ptr<Recipe> emit(const Program& program) {
  auto recipe = std::make_unique<Recipe>();
  std::vector<Lifetime> lifetimes(program.buffers.size());
  std::vector<KernelSource> sources;
  for (size_t i = 0; i < program.items.size(); ++i) {
    const Item& item = program.items[i];
    for (const BufferUse& u : buffer_uses(program, item)) {
      lifetimes[u.buffer].touch(i);
    }
    if (item.kind == Item::Kind::kLoop) {
      sources.emplace_back().add(item.loop);
    } else if (item.kind == Item::Kind::kGroup) {
      sources.emplace_back();
      for (const codegen::Loop& loop : item.group) {
        sources.back().add(loop);
      }
    }
  }
  plan_memory(program.buffers, lifetimes, in_place_pairs(program, lifetimes), *recipe);
  std::vector<std::vector<codegen::Loop>> groups;
  for (const KernelSource& source : sources) {
    groups.push_back(source.loops);
  }
  recipe->steps.resize(program.items.size());
  recipe->step_bytes.resize(program.items.size());
  std::atomic<size_t> made{0};
  const auto make_steps = [&] {
    for (size_t i = made++; i < program.items.size(); i = made++) {
      const Item& item = program.items[i];
      recipe->step_bytes[i] = traffic(program, item);
      if (item.kind == Item::Kind::kLibrary) {
        recipe->steps[i] = kernels::make_step(item.call, constant_reads(program, item.call));
      } else if (item.kind == Item::Kind::kExtern) {
        recipe->steps[i] = kernels::make_reference_step(*program.graph, program.graph->nodes[item.node]);
      }
    }
  };
  std::vector<std::shared_ptr<const codegen::Kernel>> kernels;
  const auto load_code = [&] { kernels = codegen::compile(groups); };
  // What the disk holds is loaded by two threads. A new program's steps are timed, with nothing else running; and a job works beside others already.
  if (program.from_disk && !in_job()) {
    // Deferred where no thread can be had. Its destructor waits.
    std::future<void> aside = std::async(std::launch::async | std::launch::deferred, [&] {
      at::get_num_threads();  // gives OpenMP on this thread what was set for all
      load_code();
      make_steps();
    });
    make_steps();
    aside.get();
  } else {
    make_steps();
    load_code();
  }
  size_t next = 0;
  for (std::unique_ptr<Step>& step : recipe->steps) {
    if (step == nullptr) {
      step = std::make_unique<KernelStep>(std::move(sources[next]), kernels[next]);
      ++next;
    }
  }
  return recipe;
}

}  // namespace torch_hpu::compiler
