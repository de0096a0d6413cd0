#include "csrc/compiler/emit.h"

#include "csrc/codegen/codegen.h"
#include "csrc/compiler/memory_plan.h"
#include "csrc/compiler/uses.h"
#include "csrc/kernels/reference.h"
#include "csrc/support/counters.h"

namespace torch_hpu::compiler {
namespace {

// A generated kernel with what its local numbers stand for.
class LoopStep final : public Step {
 public:
  LoopStep(codegen::Localized local, std::shared_ptr<const codegen::Kernel> kernel)
      : name_(local.loop.name),
        buffers_(std::move(local.buffers)),
        windows_(std::move(local.windows)),
        scalars_(std::move(local.scalars)),
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

// Which reads of a library call nobody in the program writes: weights, as far as one can see.
std::vector<bool> constant_reads(const Program& program, const kernels::LibraryCall& call) {
  std::vector<bool> constant;
  for (const kernels::Operand& o : call.reads) {
    constant.push_back(o.buffer != ir::kNone && o.buffer < program.graph->buffers.size() && !program.buffers[o.buffer].written &&
                       program.buffers[o.buffer].kind == ir::BufferKind::kInput);
  }
  return constant;
}

}  // namespace

std::unique_ptr<Recipe> emit(const Program& program) {
  auto recipe = std::make_unique<Recipe>();
  std::vector<Lifetime> lifetimes(program.buffers.size());
  std::vector<codegen::Localized> locals;
  std::vector<codegen::Loop> loops;
  for (size_t i = 0; i < program.items.size(); ++i) {
    const Item& item = program.items[i];
    for (const BufferUse& u : buffer_uses(program, item)) {
      lifetimes[u.buffer].touch(i);
    }
    if (item.kind == Item::Kind::kLoop) {
      locals.push_back(codegen::localize(item.loop));
      loops.push_back(locals.back().loop);
    }
  }
  plan_memory(program.buffers, lifetimes, *recipe);
  const auto kernels = codegen::compile(loops);
  size_t next = 0;
  for (const Item& item : program.items) {
    switch (item.kind) {
      case Item::Kind::kLoop:
        recipe->steps.push_back(std::make_unique<LoopStep>(std::move(locals[next]), kernels[next]));
        ++next;
        break;
      case Item::Kind::kLibrary:
        recipe->steps.push_back(kernels::make_step(item.call, constant_reads(program, item.call)));
        break;
      case Item::Kind::kExtern:
        recipe->steps.push_back(kernels::make_reference_step(*program.graph, program.graph->nodes[item.node]));
        break;
    }
  }
  return recipe;
}

}  // namespace torch_hpu::compiler
