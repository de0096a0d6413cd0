#include "csrc/lazy/call.h"

#include "csrc/ir/words.h"
#include "csrc/lazy/words.h"

namespace torch_hpu::lazy {
namespace {

ir::Scalar scalar_of(const at::Scalar& value) {
  ir::Scalar s;
  if (value.isBoolean()) {
    s.category = ir::ScalarCategory::kBool;
    s.value.i = value.toBool();
  } else if (value.isIntegral(false)) {
    s.category = ir::ScalarCategory::kInt;
    s.value.i = value.toLong();
  } else if (value.isComplex()) {
    s.category = ir::ScalarCategory::kComplex;
    const auto z = value.toComplexDouble();
    s.value.d = z.real();
    s.value.imag = z.imag();
  } else {
    s.category = ir::ScalarCategory::kFloat;
    s.value.d = value.toDouble();
  }
  return s;
}

}  // namespace

Call::Call(const ir::OpInfo& op) : op(&op) {
  words.push_back(op.id);
}

void Call::none() {
  args.emplace_back();
  words.push_back(head(Tag::kNone));
}

ir::WindowId Call::add_window(const at::Tensor& tensor) {
  const at::TensorImpl* impl = tensor.unsafeGetTensorImpl();
  const auto id = static_cast<ir::WindowId>(windows.size());
  windows.emplace_back();
  ir::Window& w = windows.back();
  w.dtype = c10::typeMetaToScalarType(impl->dtype());
  w.conj = impl->is_conj();
  w.neg = impl->is_neg();
  w.offset = impl->storage_offset();
  const auto sizes = impl->sizes(), strides = impl->strides();
  w.sizes.assign(sizes.begin(), sizes.end());
  w.strides.assign(strides.begin(), strides.end());
  storages.push_back(impl->unsafe_storage().unsafeGetStorageImpl());
  return id;
}

void Call::refresh(ir::WindowId window, const at::Tensor& tensor) {
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  windows[window].sizes.assign(sizes.begin(), sizes.end());
  windows[window].strides.assign(strides.begin(), strides.end());
}

ir::WindowId Call::extra_window(const at::Tensor& tensor) {
  return add_window(tensor);
}

void Call::tensor(const at::Tensor& tensor) {
  args.emplace_back();
  ir::Arg& arg = args.back();
  arg.kind = ir::Arg::Kind::kWindow;
  arg.index = add_window(tensor);
  const ir::Window& w = windows.back();
  arg.wrapped = tensor.unsafeGetTensorImpl()->is_wrapped_number();
  words.push_back(
      head(Tag::kTensor, static_cast<uint64_t>(w.dtype), static_cast<uint64_t>(w.conj) | w.neg << 1 | arg.wrapped << 2, w.sizes.size()));
  words.append(w.sizes.begin(), w.sizes.end());
  words.append(w.strides.begin(), w.strides.end());
}

void Call::scalar_tensor(const at::Tensor& tensor) {
  args.emplace_back();
  ir::Arg& arg = args.back();
  arg.kind = ir::Arg::Kind::kScalarTensor;
  arg.dtype = tensor.scalar_type();
  arg.wrapped = tensor.unsafeGetTensorImpl()->is_wrapped_number();
  arg.index = static_cast<uint32_t>(scalars.size());
  scalars.push_back(scalar_of(tensor.item()));
  words.push_back(head(Tag::kScalarTensor, static_cast<uint64_t>(arg.dtype), arg.wrapped));
}

void Call::number(const at::Scalar& value) {
  args.emplace_back();
  ir::Arg& arg = args.back();
  arg.kind = ir::Arg::Kind::kScalar;
  arg.index = static_cast<uint32_t>(scalars.size());
  scalars.push_back(scalar_of(value));
  words.push_back(head(Tag::kNumber, static_cast<uint64_t>(scalars.back().category)));
}

void Call::constant(const c10::IValue& value) {
  args.emplace_back();
  args.back().kind = ir::Arg::Kind::kConst;
  args.back().value = value;
  ir::append_words(words, value);
}

void Call::begin_list(size_t n) {
  args.emplace_back();
  ir::Arg& arg = args.back();
  arg.kind = ir::Arg::Kind::kWindowList;
  arg.index = static_cast<uint32_t>(list_items.size());
  arg.count = static_cast<uint32_t>(n);
  words.push_back(head(Tag::kList, 0, 0, n));
}

void Call::list_item(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    list_items.push_back(ir::kNone);
    words.push_back(head(Tag::kUndefined));
    return;
  }
  list_items.push_back(add_window(tensor));
  const ir::Window& w = windows.back();
  words.push_back(head(Tag::kTensor, static_cast<uint64_t>(w.dtype), static_cast<uint64_t>(w.conj) | w.neg << 1, w.sizes.size()));
  words.append(w.sizes.begin(), w.sizes.end());
  words.append(w.strides.begin(), w.strides.end());
}

}  // namespace torch_hpu::lazy
