// Address maps: comparing them, and rewriting loops to other iteration spaces.
#pragma once

#include "csrc/compiler/program.h"
#include "csrc/ir/relation.h"

namespace torch_hpu::compiler {

// A library call's operand as a loop would reach it.
codegen::Access access_of(const kernels::Operand& operand);

// Whether both accesses count from the same element of the same buffer, in every run of the recipe.
bool same_origin(const ir::Graph& graph, const codegen::Access& a, const codegen::Access& b);

// Whether both accesses touch the same element at each point of a common iteration space, in every run of the recipe.
bool same_map(const ir::Graph& graph, const codegen::Access& a, const codegen::Access& b);

// Whether two accesses over whole iteration spaces can meet in memory, in any run of the recipe.
bool may_overlap(const ir::Graph& graph, const codegen::Access& a, const codegen::DimVector& a_sizes, const codegen::Access& b,
                 const codegen::DimVector& b_sizes);

// Rewrites `loop` to the iteration space `sizes` (first `kept` dims kept). digits[d] lists the new dims that make up old dim d, outer
// first; their sizes multiply to the old size. New dims that no old dim uses are broadcast.
void respace(codegen::Loop& loop, const codegen::DimVector& sizes, uint32_t kept, const std::vector<std::vector<size_t>>& digits);

// Drops expressions, accesses and scalars that nothing uses.
void compact(codegen::Loop& loop);

// Whether the value of each expression depends on the reduced dims.
std::vector<bool> point_level(const codegen::Loop& loop);

// What is stored at every point must be a point value, and is not when it does not depend on the reduced dims (loads of expanded tensors,
// constants): such stores get a value that depends on an index.
void raise_stores(codegen::Loop& loop);

}  // namespace torch_hpu::compiler
