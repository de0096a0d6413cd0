// How a loop will run, decided before any code is emitted. Pure arithmetic over the loop: knows no LLVM.
//
// Note [Modes]
// One dim of the iteration space is the vector dim. Either it is reduced (row mode: the lanes of a vector are partial results
// of one row, combined when the row ends) or it is kept (column mode: every lane is a row of its own; pointwise loops are
// column mode without reduced dims). The dims are sorted so that kept dims stand in loop order, then reduced dims in loop
// order; the vector dim is the last one of its side.
//
// Note [Passes]
// pass(Reduce) = 1 + the largest pass among the Reduces it depends on. Pass p walks the reduced dims once and folds all
// Reduces of that pass; point stores belong to the last walk. An expensive expression that an earlier walk has computed is
// kept in a buffer on the stack ("saved") and read back, as long as all of them fit.
//
// Note [Splitting]
// A reduction to few rows has too few items for the threads. Then the longest reduced dim is cut into chunks of a fixed length
// (whatever the number of threads, so that results do not depend on it), each (row, chunk) is an item that leaves partial
// results in memory, and whoever needs the total folds the partials of its row. Each walk becomes a function of its own.
//
// Note [Flat loops]
// A pointwise loop that is one run over contiguous elements (every access stands still or moves by one) has the same code for
// every length: tensors of all sizes, and all tensors of an optimizer step, share it. Its plan has the length kFlatLength, and its
// items are elements; a caller may begin at any multiple of the block.
#pragma once

#include <vector>

#include "csrc/codegen/op_traits.h"

namespace torch_hpu::codegen {

// A Long expression that is affine in the coordinates: constant + sum(coordinate[d] * coefs[d]).
struct Affine {
  int64_t constant = 0;
  DimVector coefs;
};

struct Saved {
  ExprId expr;
  int pass;  // computed and written here; later walks read it
};

inline constexpr int64_t kFlatLength = int64_t{1} << 20;

struct Plan {
  Loop loop;                   // normalised: size-1 dims dropped, dims sorted and merged; kIndex only inside `affine`
  std::vector<int> affine_of;  // per expr: index into affines, or -1
  std::vector<Affine> affines;
  DimVector linear;  // coefficients of the linear index over the original reduced dims (argmin, argmax)

  std::vector<uint64_t> dims;  // per expr: bit d set when its value changes along dim d
  std::vector<int> pass;       // per expr: the largest pass among the Reduces it depends on or is (0: none)
  int passes = 0;              // Reduce passes
  bool point_stores = false;   // some store happens at every point: one more walk

  bool flat = false;  // see Note [Flat loops]

  int vector_bytes = 16;  // of the host
  bool row_mode = false;
  int vector_dim = 0;
  int lanes = 1;
  int unroll = 1;

  std::vector<Saved> saved;
  int64_t saved_stride = 0;  // elements per saved expression

  int split_dim = -1;  // reduced dim that is cut, -1: none
  int64_t chunk = 0;   // its length
  int64_t chunks = 1;

  int64_t cost_per_vector = 1;  // about cycles of `lanes` points

  int rank() const {
    return static_cast<int>(loop.sizes.size());
  }
  int kept() const {
    return static_cast<int>(loop.kept);
  }
  int reduced() const {
    return rank() - kept();
  }
  bool varies(ExprId e) const {  // along the vector dim
    return (dims[e] >> vector_dim & 1) != 0;
  }
  bool is_point(ExprId e) const {
    return (dims[e] >> kept()) != 0;
  }
  // Points of one block: the elements of the vector dim that one turn of the main loop covers.
  int64_t block() const {
    return int64_t{lanes} * unroll;
  }
  int64_t kept_points() const;
  int64_t reduced_points() const;
  int64_t items() const;  // of one walk without chunks: rows, or blocks of columns
};

// `loop` is verified and localized. `vector_bytes` of the host.
Plan make_plan(const Loop& loop, int vector_bytes);

// Its two halves: what the loop is (the code depends on nothing else), and how it will run.
Plan normalise(const Loop& loop);
void choose(Plan& normalised, int vector_bytes);

// Whether a store happens at every point. Else once a row.
bool is_point_store(const Plan& plan, const Store& store);

// Expressions that the stores and Reduces of walk `pass` (1-based; passes + 1: the point stores) evaluate, as roots.
std::vector<ExprId> walk_roots(const Plan& plan, int pass);

// The steps of choose, one file each.
void analyse(Plan& plan);                              // plan.cpp: dims and pass of each expression
void choose_vector_dim(Plan& plan, int vector_bytes);  // vectorise.cpp: mode, lanes, unroll
void choose_saved(Plan& plan);                         // plan.cpp
void choose_split(Plan& plan);                         // plan.cpp

}  // namespace torch_hpu::codegen
