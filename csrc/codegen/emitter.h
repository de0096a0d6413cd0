// A plan as LLVM functions.
//
// Note [Scopes]
// The nest of a function is: level 0, the function; level 1, a segment (the coordinates of all outer kept dims are known; in
// row mode this is the item, a row); in column mode level 2, the item: a block of columns; then one level per reduced dim of
// the walk at hand. Every expression has the level at which the last coordinate it depends on is known. It is emitted on
// demand: when a deeper level asks for it, its code goes to the end of the hoist block of its own level, the block before
// the loop that leads inwards. So loop invariants are never emitted inside a loop, and no pass has to find them.
#pragma once

#include <llvm/ADT/DenseMap.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <map>

#include "csrc/codegen/alu.h"
#include "csrc/codegen/plan.h"

namespace torch_hpu::codegen {

// One function of a kernel: void(i64 begin, i64 end, ptr pointers, ptr offsets, ptr scalars, ptr faults, ptr partials),
// which runs the items [begin, end). A split plan has several, to be run one after another.
struct Phase {
  int first_pass = 1, last_pass = 0;  // Reduce passes, inclusive
  bool point_walk = false;            // the walk of the point stores
  bool row_stores = false;
  bool chunked = false;  // items are (chunk, item); Reduces leave partials
};
std::vector<Phase> phases(const Plan& plan);
int64_t phase_items(const Plan& plan, const Phase& phase);

// Memory that a split plan needs between its phases.
struct Partials {
  std::vector<int64_t> value, index;  // byte offset per expr, -1: none
  int64_t bytes = 0;
};
Partials partials_layout(const Plan& plan);

class Emitter {
 public:
  Emitter(const Plan& plan, llvm::Module& module);
  void emit(const std::string& name, const Phase& phase);

 private:
  using Body = std::function<void(Value*)>;

  struct Scope {
    llvm::BasicBlock* hoist = nullptr;
    llvm::BasicBlock* inside = nullptr;                  // what follows the hoist block
    llvm::DenseMap<std::pair<int, int>, Value*> values;  // (expr, copy) and (expr, kSplat)
    llvm::DenseMap<int, Value*> pointers;                // by access
    llvm::DenseMap<int, Value*> affine;                  // by affine: its scalar part
  };
  static constexpr int kSplat = -1;

  // ---- emit_function.cpp: functions, segments
  void begin_function(const std::string& name);
  void end_function();
  llvm::AllocaInst* local(Type* type);
  void segments();

  // ---- emit_nest.cpp: loops
  void columns(Value* begin, Value* end);
  void item(int copies);
  void walk(int pass, int copies);
  void nest(int pass, int dim, int copies);
  void counted_loop(Value* begin, Value* end, int64_t step, const Body& body);
  void dim_loop(int dim, Value* begin, Value* end, int64_t step, const Body& body);
  void open_hoist(int level);
  void close_hoist(int level);
  Value* mask_from(Value* begin, Value* end);
  void leaf(int pass, int copies);

  // ---- emit_values.cpp: expressions
  Value* value(ExprId e, int copy);
  Value* vector_value(ExprId e, int copy);  // splats what does not vary
  Value* compute(ExprId e, int copy);
  Value* at_level(int level, const std::function<Value*()>& emit);
  int level_of_dim(int dim) const;  // where its coordinate becomes known
  Value* affine_value(int affine, int level, int copy);
  Value* affine_scalar(int affine, int level);
  Value* scalar(int64_t slot, c10::ScalarType to);
  Value* scalar_bits(int64_t slot, bool is_double);
  bool whole_blocks(ExprId element) const;
  const PhiloxKeys& random_keys(int lanes);
  Value* random(const Expr& e, int copy);
  Value* splat(Value* v);
  void fault(Value* bad, Fault kind);

  // ---- emit_memory.cpp
  Value* pointer(int access, int level);
  Value* load(int access, int level, int copy, ExprId at);
  void store(const Store& s, int copy, Value* v);
  Value* load_vector(Value* pointer, c10::ScalarType memory);
  void store_vector(Value* pointer, c10::ScalarType memory, Value* v);
  Value* gather(Value* pointer, Value* index, c10::ScalarType memory);
  void scatter(Value* pointer, Value* index, c10::ScalarType memory, Value* v);
  Value* from_memory(Value* raw, c10::ScalarType memory);
  Value* to_memory(Value* v, c10::ScalarType memory);
  Type* memory_type(c10::ScalarType memory);
  Value* byte_offset(Value* pointer, Value* elements, int64_t itemsize);
  void save(int slot, int copy, Value* v);
  Value* saved_pointer(int slot, int copy);
  bool masked_moves(int64_t itemsize) const;
  bool store_varies(const Store& s) const;

  // ---- emit_reduce.cpp
  struct Accumulator {
    ExprId reduce;
    bool vector;                                             // lanes, else a scalar
    std::vector<llvm::AllocaInst*> values, indices, totals;  // per copy
  };
  void start_accumulators(int pass, int copies);
  void accumulate(int pass, int copies);
  void flush_totals(int copies);
  void finish_accumulators(int copies);
  struct Partial {
    Value* value = nullptr;
    Value* index = nullptr;
  };
  Partial fold(ExprId reduce, Partial x, Partial y);
  Partial identity(ExprId reduce, int lanes);
  Partial fold_lanes(ExprId reduce, Partial x);
  Value* result(ExprId reduce, Partial p);
  void store_partial(ExprId reduce, int copy, Partial p);
  Value* total_of_partials(ExprId reduce, int copy);
  int flush_dim(int pass);
  Value* partial_pointer(int access, int copy, Value* chunk);

  const Plan& plan_;
  llvm::Module& module_;
  llvm::IRBuilder<> b;
  Alu alu_;
  Partials partials_;
  std::vector<Access> accesses_;                            // the plan's, then the partials of a split plan's Reduces
  std::vector<Affine> affines_;                             // the plan's, then linear index of arg reductions, place in saved memory
  std::vector<int> level_of_;                               // per expr
  std::vector<int> partial_access_, partial_index_access_;  // per expr: access of its partials, -1
  int linear_affine_ = 0, saved_affine_ = 0;                // where in affines_
  std::vector<int> saved_slot_;                             // per expr, -1
  int item_level_;

  // The function being emitted.
  Phase phase_;
  llvm::Function* function_ = nullptr;
  Value *begin_ = nullptr, *end_ = nullptr, *pointers_ = nullptr, *offsets_ = nullptr, *scalars_ = nullptr, *faults_ = nullptr,
        *partial_memory_ = nullptr;
  llvm::AllocaInst* fault_flags_[2] = {nullptr, nullptr};
  std::vector<llvm::AllocaInst*> saved_memory_;
  std::vector<Scope> scopes_;
  int level_ = 0;
  std::vector<Value*> coords_;     // per dim
  Value* chunk_ = nullptr;         // chunk number
  Value* mask_ = nullptr;          // lanes inside the vector dim; null: all
  Value* active_lanes_ = nullptr;  // how many, beside a mask
  Value* rng_offset_ = nullptr;
  std::map<int, PhiloxKeys> random_keys_;  // by lanes
  int walk_ = 0;                           // the pass being emitted
  std::vector<Accumulator> accumulators_;
  int64_t flush_every_ = 0;  // iterations of flush_dim_
  int flush_dim_ = -1;
};

}  // namespace torch_hpu::codegen
