// Loops to bytes and back: see support/archive.h.
#pragma once

#include "csrc/codegen/loop.h"
#include "csrc/support/archive.h"

namespace torch_hpu::codegen {

template <class A>
void archive(A& a, Expr& e) {
  auto& [op, dtype, x, y, z, imm_i, imm_d] = e;
  a(op, dtype, x, y, z, imm_i, imm_d);
}

template <class A>
void archive(A& a, Access& access) {
  auto& [buffer, dtype, offset, dynamic, strides] = access;
  a(buffer, dtype, offset, dynamic, strides);
}

template <class A>
void archive(A& a, Store& store) {
  auto& [access, value, at] = store;
  a(access, value, at);
}

template <class A>
void archive(A& a, Loop& loop) {
  auto& [name, sizes, kept, accesses, exprs, stores, scalars, scalar_ids, rng] = loop;
  a(name, sizes, kept, accesses, exprs, stores, scalars, scalar_ids, rng);
}

}  // namespace torch_hpu::codegen
