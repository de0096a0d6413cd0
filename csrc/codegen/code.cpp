// Loops to code: cache, module.
#include "csrc/codegen/code.h"

#include <llvm/IR/Dominators.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Transforms/Utils/PromoteMemToReg.h>

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "csrc/codegen/emitter.h"
#include "csrc/codegen/host.h"
#include "csrc/codegen/jit.h"

namespace torch_hpu::codegen {
namespace {

// ---- the cache

// Everything that the code of a normalised loop depends on, as bytes: all fields but the name, and the host.
std::string structure(const Plan& plan) {
  const Loop& loop = plan.loop;
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
  put(plan.flat);
  put_dims(plan.linear);
  for (const int a : plan.affine_of) {
    put(a);
  }
  for (const Affine& a : plan.affines) {
    put(a.constant);
    put_dims(a.coefs);
  }
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

Job emit_loop(Plan& plan, llvm::Module& module, size_t number) {
  Job job{std::make_shared<Code>(), {}};
  if (plan.kept_points() == 0 || plan.loop.stores.empty()) {
    return job;
  }
  choose(plan, host().vector_bytes);
  Emitter emitter(plan, module);
  job.code->partial_bytes = partials_layout(plan).bytes;
  const int64_t points = plan.kept_points() * std::max<int64_t>(plan.reduced_points(), 1);
  const int64_t cycles = std::max<int64_t>(points / plan.lanes, 1) * plan.cost_per_vector;
  job.code->block = plan.flat ? plan.block() : 0;
  for (const Phase& phase : phases(plan)) {
    const std::string name = "f" + std::to_string(number) + "_" + std::to_string(job.functions.size());
    emitter.emit(name, phase);
    job.functions.push_back(name);
    job.code->phases.push_back({nullptr, phase_items(plan, phase), 1});
    job.code->phases.back().cycles = std::max<int64_t>(1, cycles / job.code->phases.back().items);
  }
  return job;
}

// Names are unique in the process: all modules share one symbol table.
size_t next_number() {
  static std::atomic<size_t> number{0};
  return number++;
}

void build(const std::vector<Plan*>& plans, std::vector<std::shared_ptr<const Code>>& codes) {
  auto context = std::make_unique<llvm::LLVMContext>();
  auto module = std::make_unique<llvm::Module>("kernels", *context);
  module->setDataLayout(jit_layout());
  std::vector<Job> jobs;
  std::vector<std::string> functions;
  for (Plan* plan : plans) {
    jobs.push_back(emit_loop(*plan, *module, next_number()));
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
      job.code->phases[i].entry = reinterpret_cast<Entry>(loaded->address(job.functions[i]));
    }
    codes.push_back(std::move(job.code));
  }
}

}  // namespace

std::vector<Located> find_code(const std::vector<Loop>& loops) {
  std::vector<Plan> plans;
  std::vector<std::string> keys;
  std::vector<Located> located(loops.size());
  plans.reserve(loops.size());
  keys.reserve(loops.size());  // views point into it
  for (size_t i = 0; i < loops.size(); ++i) {
    verify(loops[i]);
    Plan& plan = plans.emplace_back(normalise(loops[i]));
    if (plan.flat) {
      located[i].length = plan.loop.sizes[0];
      plan.loop.sizes[0] = kFlatLength;
    }
    keys.push_back(structure(plan));
  }
  std::unordered_map<std::string_view, std::shared_ptr<const Code>> known;
  std::vector<Plan*> missing;
  std::vector<std::string_view> missing_keys;
  {
    const std::lock_guard<std::mutex> lock(cache_mutex());
    for (size_t i = 0; i < loops.size(); ++i) {
      const auto [it, is_new] = known.emplace(keys[i], nullptr);
      if (is_new && !(it->second = cache().find(keys[i]))) {
        missing.push_back(&plans[i]);
        missing_keys.push_back(keys[i]);
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
  for (size_t i = 0; i < loops.size(); ++i) {
    located[i].code = known[keys[i]];
  }
  return located;
}

}  // namespace torch_hpu::codegen
