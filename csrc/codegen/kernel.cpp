// Loops to kernels: cache, module, run.
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <llvm/IR/Verifier.h>
#include <llvm/IR/Dominators.h>
#include <llvm/Transforms/Utils/PromoteMemToReg.h>

#include <list>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "csrc/codegen/codegen.h"
#include "csrc/codegen/emitter.h"
#include "csrc/codegen/host.h"
#include "csrc/codegen/jit.h"

namespace torch_hpu::codegen {
namespace {

using Entry = void (*)(int64_t, int64_t, std::byte* const*, const int64_t*, const ir::ScalarValue*, uint8_t*, std::byte*);

// Cycles: below the first, entering a parallel region costs more than it saves; the second is a thread's least share.
constexpr int64_t kParallelCycles = 60000;
constexpr int64_t kGrainCycles = 20000;

// The code of one loop structure. Shared by all loops that differ in name only.
struct Code {
  struct Step {
    Entry entry;
    int64_t items;
    int64_t grain;  // items; 0: stay on the calling thread
  };
  std::shared_ptr<const LoadedModule> module;  // keeps the code alive
  std::vector<Step> steps;                     // empty: nothing to do
  int64_t partial_bytes = 0;
};

void run_steps(const Code& code, std::byte* const* pointers, const int64_t* offsets, const ir::ScalarValue* scalars, uint8_t* faults,
               std::byte* partials) {
  for (const Code::Step& s : code.steps) {
    if (s.grain == 0) {
      s.entry(0, s.items, pointers, offsets, scalars, faults, partials);
    } else {
      at::parallel_for(0, s.items, s.grain,
                       [&](int64_t begin, int64_t end) { s.entry(begin, end, pointers, offsets, scalars, faults, partials); });
    }
  }
}

class CompiledKernel final : public Kernel {
 public:
  CompiledKernel(std::string name, std::shared_ptr<const Code> code) : name_(std::move(name)), code_(std::move(code)) {}

  void run(std::byte* const* pointers, const int64_t* offsets, const ir::ScalarValue* scalars) const override {
    uint8_t faults[2] = {0, 0};
    if (C10_LIKELY(code_->partial_bytes == 0)) {
      run_steps(*code_, pointers, offsets, scalars, faults, nullptr);
    } else {
      const std::unique_ptr<std::byte, void (*)(void*)> partials(
          static_cast<std::byte*>(std::aligned_alloc(64, static_cast<size_t>(code_->partial_bytes))), std::free);
      TORCH_CHECK_WITH(OutOfMemoryError, partials, "no memory for the partial results of ", name_);
      run_steps(*code_, pointers, offsets, scalars, faults, partials.get());
    }
    TORCH_CHECK_INDEX(!faults[static_cast<size_t>(Fault::kIndex)], "index out of range in ", name_);
    TORCH_CHECK(!faults[static_cast<size_t>(Fault::kZeroDivision)], "ZeroDivisionError: division by zero in ", name_);
  }

 private:
  std::string name_;
  std::shared_ptr<const Code> code_;
};

// ---- the cache

// Everything that the code of a loop depends on, as bytes: all fields but the name, and the host.
std::string structure(const Loop& loop) {
  std::string key;
  const auto put = [&](const auto& x) {
    static_assert(std::is_trivially_copyable_v<std::decay_t<decltype(x)>>);
    key.append(reinterpret_cast<const char*>(&x), sizeof x);
  };
  const auto put_dims = [&](const DimVector& v) {
    put(v.size());
    key.append(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(int64_t));
  };
  put(host().vector_bytes);
  put_dims(loop.sizes);
  put(loop.kept);
  put(loop.accesses.size());
  for (const Access& a : loop.accesses) {
    put(a.buffer);
    put(a.dtype);
    put(a.offset);
    put(a.dynamic);
    put_dims(a.strides);
  }
  put(loop.exprs.size());
  for (const Expr& e : loop.exprs) {
    put(e.op);
    put(e.dtype);
    put(e.a);
    put(e.b);
    put(e.c);
    put(e.imm_i);
    put(e.imm_d);
  }
  put(loop.stores.size());
  for (const Store& s : loop.stores) {
    put(s.access);
    put(s.value);
    put(s.at);
  }
  for (const ir::ScalarCategory c : loop.scalars) {
    put(c);
  }
  put(loop.rng);
  return key;
}

// The most recently used codes. What falls out lives on as long as kernels hold it.
class Cache {
 public:
  std::shared_ptr<const Code> find(const std::string& key) {
    const auto it = index_.find(key);
    if (it == index_.end()) {
      return nullptr;
    }
    order_.splice(order_.begin(), order_, it->second);
    return it->second->second;
  }

  void insert(const std::string& key, std::shared_ptr<const Code> code) {
    if (index_.count(key) != 0) {
      return;
    }
    order_.emplace_front(key, std::move(code));
    index_[order_.front().first] = order_.begin();
    if (order_.size() > kCapacity) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
  }

 private:
  static constexpr size_t kCapacity = 2048;
  std::list<std::pair<std::string, std::shared_ptr<const Code>>> order_;
  std::unordered_map<std::string_view, decltype(order_)::iterator> index_;
};

std::mutex& cache_mutex() {
  static std::mutex mutex;
  return mutex;
}

Cache& cache() {
  static Cache* cache = new Cache();  // never destroyed, as the JIT
  return *cache;
}

// ---- compilation

// Turns locals into registers: the one pass that the emitted code needs.
void promote_locals(llvm::Function& function) {
  std::vector<llvm::AllocaInst*> locals;
  for (llvm::Instruction& i : function.getEntryBlock()) {
    if (auto* a = llvm::dyn_cast<llvm::AllocaInst>(&i); a && llvm::isAllocaPromotable(a)) {
      locals.push_back(a);
    }
  }
  llvm::DominatorTree tree(function);
  llvm::PromoteMemToReg(locals, tree);
}

struct Job {
  std::shared_ptr<Code> code;
  std::vector<std::string> functions;  // one per step
};

Job emit_loop(const Loop& loop, llvm::Module& module, size_t number) {
  Job job{std::make_shared<Code>(), {}};
  verify(loop);
  int64_t kept_points = 1;
  for (uint32_t d = 0; d < loop.kept; ++d) {
    kept_points *= loop.sizes[d];
  }
  if (kept_points == 0 || loop.stores.empty()) {
    return job;
  }
  const Plan plan = make_plan(loop, host().vector_bytes);
  Emitter emitter(plan, module);
  job.code->partial_bytes = partials_layout(plan).bytes;
  for (const Phase& phase : phases(plan)) {
    const std::string name = "f" + std::to_string(number) + "_" + std::to_string(job.functions.size());
    emitter.emit(name, phase);
    job.functions.push_back(name);
    const int64_t items = phase_items(plan, phase);
    const int64_t points = plan.kept_points() * std::max<int64_t>(plan.reduced_points(), 1);
    const int64_t cycles = std::max<int64_t>(points / plan.lanes, 1) * plan.cost_per_vector;
    const bool parallel = items > 1 && cycles >= kParallelCycles;
    job.code->steps.push_back({nullptr, items, parallel ? std::max<int64_t>(1, items * kGrainCycles / cycles) : 0});
  }
  return job;
}

// Names are unique in the process: all modules share one symbol table.
size_t next_number() {
  static std::atomic<size_t> number{0};
  return number++;
}

void build(const std::vector<const Loop*>& loops, std::vector<std::shared_ptr<const Code>>& codes) {
  auto context = std::make_unique<llvm::LLVMContext>();
  auto module = std::make_unique<llvm::Module>("kernels", *context);
  module->setDataLayout(jit_layout());
  std::vector<Job> jobs;
  std::vector<std::string> functions;
  for (const Loop* loop : loops) {
    jobs.push_back(emit_loop(*loop, *module, next_number()));
    functions.insert(functions.end(), jobs.back().functions.begin(), jobs.back().functions.end());
  }
  for (llvm::Function& f : *module) {
    if (!f.isDeclaration()) {
      promote_locals(f);
    }
  }
#ifndef NDEBUG
  std::string error;
  llvm::raw_string_ostream out(error);
  TORCH_INTERNAL_ASSERT(!llvm::verifyModule(*module, &out), out.str());
#endif
  std::shared_ptr<const LoadedModule> loaded;
  if (!functions.empty()) {
    loaded = load_module(std::move(context), std::move(module), functions);
  }
  for (Job& job : jobs) {
    job.code->module = loaded;
    for (size_t i = 0; i < job.functions.size(); ++i) {
      job.code->steps[i].entry = reinterpret_cast<Entry>(loaded->address(job.functions[i]));
    }
    codes.push_back(std::move(job.code));
  }
}

}  // namespace

std::vector<std::shared_ptr<const Kernel>> compile(const std::vector<Loop>& loops) {
  std::vector<std::string> keys;
  std::unordered_map<std::string_view, std::shared_ptr<const Code>> known;
  std::vector<const Loop*> missing;
  std::vector<std::string_view> missing_keys;
  keys.reserve(loops.size());  // views point into it
  {
    const std::lock_guard<std::mutex> lock(cache_mutex());
    for (const Loop& loop : loops) {
      const std::string& key = keys.emplace_back(structure(loop));
      const auto [it, is_new] = known.emplace(key, nullptr);
      if (is_new && !(it->second = cache().find(key))) {
        missing.push_back(&loop);
        missing_keys.push_back(key);
      }
    }
  }
  if (!missing.empty()) {
    std::vector<std::shared_ptr<const Code>> built;
    build(missing, built);
    const std::lock_guard<std::mutex> lock(cache_mutex());
    for (size_t i = 0; i < built.size(); ++i) {
      cache().insert(std::string(missing_keys[i]), built[i]);
      known[missing_keys[i]] = built[i];
    }
  }
  std::vector<std::shared_ptr<const Kernel>> kernels;
  for (size_t i = 0; i < loops.size(); ++i) {
    kernels.push_back(std::make_shared<CompiledKernel>(loops[i].name, known[keys[i]]));
  }
  return kernels;
}

}  // namespace torch_hpu::codegen
