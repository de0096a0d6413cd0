// Loops to code: the caches of this process and of the disk, and one module per loop structure.
#include "csrc/codegen/code.h"

#include <llvm-c/Core.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Transforms/Utils/PromoteMemToReg.h>

#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "csrc/codegen/emitter.h"
#include "csrc/codegen/host.h"
#include "csrc/codegen/jit.h"
#include "csrc/codegen/loop_archive.h"
#include "csrc/support/counters.h"
#include "csrc/support/disk_cache.h"
#include "csrc/support/exit.h"

namespace torch_hpu::codegen {

template <class A>
static void archive(A& a, Affine& affine) {
  auto& [constant, coefs] = affine;
  a(constant, coefs);
}

namespace {

// ---- the cache

// Everything that the code of a normalised loop depends on, as bytes: the loop but for its name, the
// compiler and the host.
std::string structure(const Plan& plan) {
  const Loop& loop = plan.loop;
  unsigned major = 0, minor = 0, patch = 0;
  LLVMGetVersion(&major, &minor, &patch);
  Writer w;
  w(major, minor, patch, host().cpu, host().vector_bytes, loop.sizes, loop.kept, loop.accesses, loop.exprs, loop.stores, loop.scalars,
    loop.rng);
  w(plan.flat, plan.linear, plan.affine_of, plan.affines);
  return w.take();
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

std::string function_name(size_t phase) {
  return "phase" + std::to_string(phase);
}

// The object code of a plan that is chosen.
std::string compile_plan(const Plan& plan) {
  llvm::LLVMContext context;
  llvm::Module module("kernel", context);
  module.setDataLayout(jit_layout());
  Emitter emitter(plan, module);
  size_t number = 0;
  for (const Phase& phase : phases(plan)) {
    emitter.emit(function_name(number++), phase);
  }
  for (llvm::Function& f : module) {
    if (!f.isDeclaration()) {
      promote_locals(f);
    }
  }
#ifndef NDEBUG
  std::string error;
  llvm::raw_string_ostream out(error);
  TORCH_INTERNAL_ASSERT(!llvm::verifyModule(module, &out), out.str());
#endif
  return compile_object(module);
}

// A code that still has to be loaded. Without functions: nothing to do.
struct Unloaded {
  std::shared_ptr<Code> code = std::make_shared<Code>();
  ObjectFile file;
};

// `key`: the plan's structure, as the disk knows it.
Unloaded build(Plan& plan, const std::string& key) {
  Unloaded built;
  if (plan.kept_points() == 0 || plan.loop.stores.empty()) {
    return built;
  }
  choose(plan, host().vector_bytes);
  Code& code = *built.code;
  code.partial_bytes = partials_layout(plan).bytes;
  code.block = plan.flat ? plan.block() : 0;
  const int64_t points = plan.kept_points() * std::max<int64_t>(plan.reduced_points(), 1);
  const int64_t cycles = std::max<int64_t>(points / plan.lanes, 1) * plan.cost_per_vector;
  for (const Phase& phase : phases(plan)) {
    built.file.functions.push_back(function_name(code.phases.size()));
    const int64_t items = phase_items(plan, phase);
    code.phases.push_back({nullptr, items, std::max<int64_t>(1, cycles / items)});
  }
  std::optional<std::string> object = disk_cache::find("kernel", key);
  if (!object) {
    TORCH_CHECK(!in_job(), "[hpu] nothing is compiled beside other work");
    object = compile_plan(plan);
    count(Counter::kCodeCompilations);
    disk_cache::insert("kernel", key, *object);
  }
  built.file.bytes = std::move(*object);
  return built;
}

// Links the codes, all in one go.
void load(std::vector<Unloaded>& built) {
  std::vector<ObjectFile> files;
  std::vector<Code*> codes;
  for (Unloaded& b : built) {
    if (!b.file.functions.empty()) {
      files.push_back(std::move(b.file));
      codes.push_back(b.code.get());
    }
  }
  const std::vector<std::shared_ptr<const LoadedObject>> objects = load_objects(files);
  for (size_t i = 0; i < codes.size(); ++i) {
    codes[i]->object = objects[i];
    for (size_t f = 0; f < codes[i]->phases.size(); ++f) {
      codes[i]->phases[f].entry = reinterpret_cast<Entry>(objects[i]->address(files[i].functions[f]));
    }
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
    std::vector<Unloaded> built;
    for (size_t i = 0; i < missing.size(); ++i) {
      built.push_back(build(*missing[i], std::string(missing_keys[i])));
    }
    load(built);
    const std::lock_guard<std::mutex> lock(cache_mutex());
    for (size_t i = 0; i < built.size(); ++i) {
      cache().insert(std::string(missing_keys[i]), built[i].code);
      known[missing_keys[i]] = built[i].code;
    }
  }
  for (size_t i = 0; i < loops.size(); ++i) {
    located[i].code = known[keys[i]];
  }
  return located;
}

}  // namespace torch_hpu::codegen
