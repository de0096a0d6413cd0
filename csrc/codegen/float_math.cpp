#include "csrc/codegen/alu.h"
namespace torch_hpu::codegen {
Value* Alu::float_math(Op op, Value* x) {
  return nullptr;
}
}
