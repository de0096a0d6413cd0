// The functions that generated code may call: vector math of SLEEF (inside libtorch), array functions of ours, libc.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "csrc/codegen/loop.h"

namespace torch_hpu::codegen {

// Every symbol that the linker of generated code knows, with its address.
const std::vector<std::pair<std::string, void*>>& external_functions();

// A vector function: takes and returns `lanes` elements in a register. Null name: there is none for this op on this host.
struct VectorFunction {
  std::string name;
  int lanes = 0;
};
VectorFunction vector_function(Op op, bool is_double);

// The name of the array function of an op: void f(T* x, int64_t n) computes in place, void f(T* x, const T* y, int64_t n)
// for two operands. Every op that has a vector function has an array function, too.
std::string array_function(Op op, c10::ScalarType dtype);

}  // namespace torch_hpu::codegen
