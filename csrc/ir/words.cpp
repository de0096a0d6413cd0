#include "csrc/ir/words.h"

#include <c10/util/Exception.h>

#include <bit>
#include <cstring>

namespace torch_hpu::ir {

void append_words(c10::SmallVectorImpl<uint64_t>& words, const c10::IValue& value) {
  auto push = [&](Constant kind, uint64_t w) {
    words.push_back(kConstantWord | static_cast<uint64_t>(kind) << 8);
    words.push_back(w);
  };
  if (value.isNone()) {
    push(Constant::kNone, 0);
  } else if (value.isBool()) {
    push(Constant::kBool, value.toBool());
  } else if (value.isInt()) {
    push(Constant::kInt, static_cast<uint64_t>(value.toInt()));
  } else if (value.isDouble()) {
    push(Constant::kDouble, std::bit_cast<uint64_t>(value.toDouble()));
  } else if (value.isIntList()) {
    const auto list = value.toIntVector();
    push(Constant::kIntList, list.size());
    words.append(list.begin(), list.end());
  } else if (value.isString()) {
    const std::string& s = value.toStringRef();
    push(Constant::kString, s.size());
    for (size_t i = 0; i < s.size(); i += 8) {
      uint64_t w = 0;
      std::memcpy(&w, s.data() + i, std::min<size_t>(8, s.size() - i));
      words.push_back(w);
    }
  } else if (value.isDevice()) {
    const c10::Device d = value.toDevice();
    push(Constant::kDevice, static_cast<uint64_t>(d.type()) << 8 | static_cast<uint8_t>(d.index()));
  } else if (value.isDoubleList()) {
    const auto list = value.toDoubleVector();
    push(Constant::kDoubleList, list.size());
    for (double d : list) {
      words.push_back(std::bit_cast<uint64_t>(d));
    }
  } else if (value.isBoolList()) {
    const auto list = value.toBoolList();
    push(Constant::kBoolList, list.size());
    for (bool b : list) {
      words.push_back(b);
    }
  } else if (value.isComplexDouble()) {
    const auto z = value.toComplexDouble();
    push(Constant::kComplex, std::bit_cast<uint64_t>(z.real()));
    words.push_back(std::bit_cast<uint64_t>(z.imag()));
  } else if (value.isList()) {
    const auto list = value.toListRef();
    push(Constant::kList, list.size());
    for (const c10::IValue& item : list) {
      append_words(words, item);
    }
  } else {
    TORCH_CHECK_NOT_IMPLEMENTED(false, "[hpu] cannot record an argument of type ", value.tagKind());
  }
}

}  // namespace torch_hpu::ir
