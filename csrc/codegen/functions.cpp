// SLEEF is found by dlsym: libtorch_cpu exports it under its dispatching names, one per vector width.
#include "csrc/codegen/functions.h"

#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <cmath>
#include <cstring>
#include <map>

#include "csrc/codegen/host.h"
#include "csrc/codegen/op_traits.h"
#include "csrc/codegen/scalar_math.h"

namespace torch_hpu::codegen {
namespace {

// The names ATen's own vector kernels use, so that results agree with them.
struct SleefRow {
  Op op;
  const char* base;
  const char* accuracy;
};
constexpr SleefRow kSleef[] = {
    {Op::kExp, "exp", "u10"},     {Op::kExp2, "exp2", "u10"},     {Op::kExpm1, "expm1", "u10"}, {Op::kLog, "log", "u10"},
    {Op::kLog2, "log2", "u10"},   {Op::kLog10, "log10", "u10"},   {Op::kLog1p, "log1p", "u10"}, {Op::kSin, "sin", "u10"},
    {Op::kCos, "cos", "u10"},     {Op::kTan, "tan", "u10"},       {Op::kAsin, "asin", "u10"},   {Op::kAcos, "acos", "u10"},
    {Op::kAtan, "atan", "u10"},   {Op::kSinh, "sinh", "u10"},     {Op::kCosh, "cosh", "u10"},   {Op::kTanh, "tanh", "u10"},
    {Op::kAsinh, "asinh", "u10"}, {Op::kAcosh, "acosh", "u10"},   {Op::kAtanh, "atanh", "u10"}, {Op::kErf, "erf", "u10"},
    {Op::kErfc, "erfc", "u15"},   {Op::kLgamma, "lgamma", "u10"}, {Op::kPow, "pow", "u10"},     {Op::kAtan2, "atan2", "u10"},
    {Op::kHypot, "hypot", "u05"},
};

std::string sleef_name(const SleefRow& row, bool is_double, int lanes) {
  return std::string("Sleef_") + row.base + (is_double ? "d" : "f") + std::to_string(lanes) + "_" + row.accuracy;
}

using FunctionTable = std::vector<std::pair<std::string, void*>>;

template <class F>
void add(FunctionTable& table, const char* name, F* function) {
  table.emplace_back(name, reinterpret_cast<void*>(function));
}

// What LLVM itself may call: block moves, and rounding or fma where the host has no instruction.
void add_libc(FunctionTable& table) {
  add(table, "memcpy", &::memcpy);
  add(table, "memmove", &::memmove);
  add(table, "memset", &::memset);
  for (const char* name : {"floor", "floorf", "ceil", "ceilf", "trunc", "truncf", "rint", "rintf", "roundeven", "roundevenf", "fma", "fmaf",
                           "fmod", "fmodf"}) {
    if (void* f = dlsym(RTLD_DEFAULT, name)) {
      table.emplace_back(name, f);
    }
  }
}

FunctionTable collect() {
  FunctionTable table;
  add_libc(table);
  for (const ArrayFunction& f : array_functions()) {
    table.emplace_back(array_function(f.op, f.dtype), f.address);
  }
  add(table, "hpu_half_to_float", &half_to_float);
  add(table, "hpu_float_to_half", &float_to_half);
  for (const SleefRow& row : kSleef) {
    for (int bytes : {32, 64}) {
      for (bool is_double : {false, true}) {
        const std::string name = sleef_name(row, is_double, bytes / (is_double ? 8 : 4));
        if (void* f = dlsym(RTLD_DEFAULT, name.c_str())) {
          table.emplace_back(name, f);
        }
      }
    }
  }
  return table;
}

const std::map<std::string, void*>& by_name() {
  static const std::map<std::string, void*> map(external_functions().begin(), external_functions().end());
  return map;
}

}  // namespace

const FunctionTable& external_functions() {
  static const FunctionTable table = collect();
  return table;
}

VectorFunction vector_function(Op op, bool is_double) {
  const int lanes = host().vector_bytes / (is_double ? 8 : 4);
  for (const SleefRow& row : kSleef) {
    if (row.op == op) {
      std::string name = sleef_name(row, is_double, lanes);
      return by_name().count(name) ? VectorFunction{std::move(name), lanes} : VectorFunction{};
    }
  }
  return {};
}

std::string array_function(Op op, c10::ScalarType dtype) {
  return std::string("hpu_") + traits(op).name + "_" + c10::toString(dtype);
}

}  // namespace torch_hpu::codegen
