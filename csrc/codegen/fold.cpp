#include "csrc/codegen/fold.h"

#include <llvm/Analysis/ConstantFolding.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/ValueHandle.h>

#include "csrc/codegen/alu.h"

namespace torch_hpu::codegen {
namespace {

llvm::Constant* constant_of(Alu& alu, const Expr& e) {
  Type* t = alu.type_of(e.dtype);
  return llvm::cast<llvm::Constant>(is_float(e.dtype) ? alu.constant(t, e.imm_d) : alu.constant(t, e.imm_i));
}

// Evaluates the instructions of `block` one after another; false when one of them cannot be.
bool evaluate(llvm::BasicBlock& block, const llvm::DataLayout& layout) {
  for (llvm::Instruction& i : llvm::make_early_inc_range(block)) {
    llvm::Constant* value = llvm::ConstantFoldInstruction(&i, layout);
    if (value == nullptr) {
      return false;
    }
    i.replaceAllUsesWith(value);
    i.eraseFromParent();
  }
  return true;
}

}  // namespace

std::optional<Expr> fold(const Expr& e, c10::ArrayRef<Expr> operands) {
  const OpClass op_class = traits(e.op).op_class;
  if (op_class == OpClass::kLeaf || op_class == OpClass::kReduce) {
    return std::nullopt;
  }
  llvm::LLVMContext context;
  llvm::Module module("fold", context);
  auto* type = llvm::FunctionType::get(Type::getVoidTy(context), false);
  auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage, "fold", module);
  auto* block = llvm::BasicBlock::Create(context, "", function);
  llvm::IRBuilder<> builder(block);
  llvm::SmallVector<llvm::TrackingVH<Value>, 2> faults;
  Alu alu(builder, [&](Value* bad, Fault) { faults.emplace_back(bad); });
  llvm::SmallVector<Value*, 3> values;
  for (const Expr& x : operands) {
    values.push_back(constant_of(alu, x));
  }
  const c10::ScalarType operand_type = operands[e.op == Op::kSelect ? 1 : 0].dtype;
  llvm::TrackingVH<Value> computed(e.op == Op::kCast         ? alu.cast(values[0], operand_type, e.dtype)
                                   : e.op == Op::kCheckIndex ? alu.check_index(values[0], e.imm_i)
                                                             : alu.apply(e.op, operand_type, values));
  if (!evaluate(*block, module.getDataLayout()) || std::any_of(faults.begin(), faults.end(), [](Value* bad) {
        const auto* constant = llvm::dyn_cast<llvm::Constant>(bad);
        return constant == nullptr || !constant->isNullValue();
      })) {
    return std::nullopt;
  }
  Value* result = computed;
  Expr folded;
  folded.op = Op::kConst;
  folded.dtype = e.dtype;
  if (const auto* real = llvm::dyn_cast<llvm::ConstantFP>(result)) {
    llvm::APFloat value = real->getValueAPF();
    bool inexact = false;
    value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &inexact);
    folded.imm_d = value.convertToDouble();
  } else if (const auto* integer = llvm::dyn_cast<llvm::ConstantInt>(result)) {
    const bool no_sign = e.dtype == c10::ScalarType::Bool || e.dtype == c10::ScalarType::Byte;
    folded.imm_i = no_sign ? static_cast<int64_t>(integer->getZExtValue()) : integer->getSExtValue();
  } else {
    return std::nullopt;  // poison: a conversion out of range
  }
  return folded;
}

}  // namespace torch_hpu::codegen
