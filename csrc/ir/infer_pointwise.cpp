#include <ATen/ExpandUtils.h>
#include <ATen/TensorIterator.h>
#include <c10/core/DefaultDtype.h>
#include <c10/util/strides.h>

#include <algorithm>

#include "csrc/ir/infer_rules.h"

namespace torch_hpu::ir::rules {
namespace {

// A tensor that has metas only. Made directly: no dispatcher call, so no Python.
at::Tensor meta_tensor(c10::ScalarType dtype, c10::IntArrayRef sizes, c10::IntArrayRef strides, bool wrapped = false) {
  static const c10::Storage storage(c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), 0, c10::DataPtr(nullptr, c10::Device(c10::DeviceType::Meta)), nullptr, false));
  at::Tensor t = at::detail::make_tensor<c10::TensorImpl>(c10::Storage(storage), c10::DispatchKeySet(c10::DispatchKey::Meta),
                                                          c10::scalarTypeToTypeMeta(dtype));
  t.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides);
  if (wrapped) {
    t.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  return t;
}

// ATen's own iterator decides shapes, dtypes and strides; nothing is computed.
class Iterator final : public at::TensorIteratorBase {
 public:
  TensorMeta meta;

  const at::Tensor& maybe_get_output(int64_t) override {
    return output_;
  }
  void set_output_raw_strided(int64_t i, c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::TensorOptions options) override {
    meta.dtype = c10::typeMetaToScalarType(options.dtype());
    meta.sizes.assign(sizes.begin(), sizes.end());
    if (!strides.empty()) {
      meta.strides.assign(strides.begin(), strides.end());
    } else {
      const auto format = options.memory_format_opt().value_or(c10::MemoryFormat::Contiguous);
      if (format == c10::MemoryFormat::ChannelsLast) {
        const auto s = c10::get_channels_last_strides_2d(sizes);
        meta.strides.assign(s.begin(), s.end());
      } else if (format == c10::MemoryFormat::ChannelsLast3d) {
        const auto s = c10::get_channels_last_strides_3d(sizes);
        meta.strides.assign(s.begin(), s.end());
      } else {
        const auto s = c10::contiguous_strides(sizes);
        meta.strides.assign(s.begin(), s.end());
      }
    }
    output_ = meta_tensor(meta.dtype, meta.sizes, meta.strides);
    at::TensorIteratorBase::set_output_raw_strided(i, sizes, strides, options);
  }

 private:
  at::Tensor output_;
};

c10::ScalarType scalar_dtype(ScalarCategory category) {
  switch (category) {
    case ScalarCategory::kBool:
      return c10::ScalarType::Bool;
    case ScalarCategory::kInt:
      return c10::ScalarType::Long;
    case ScalarCategory::kFloat:
      return c10::ScalarType::Double;
    case ScalarCategory::kComplex:
      return c10::ScalarType::ComplexDouble;
  }
  return c10::ScalarType::Undefined;
}

c10::ScalarType constant_dtype(const c10::IValue& v) {
  return v.isBool()     ? c10::ScalarType::Bool
         : v.isInt()    ? c10::ScalarType::Long
         : v.isDouble() ? c10::ScalarType::Double
                        : c10::ScalarType::ComplexDouble;
}

}  // namespace

void pointwise(InferContext& c, Promote promote, uint64_t scalars) {
  std::vector<at::Tensor> inputs;
  std::vector<c10::ScalarType> first_dtype;
  for (size_t i = 0; i < c.args.size(); ++i) {
    const Arg& a = c.args[i];
    if (a.kind == Arg::Kind::kWindow) {
      const Window& w = c.window(i);
      inputs.push_back(meta_tensor(w.dtype, w.sizes, w.strides, a.wrapped));
    } else if (a.kind == Arg::Kind::kScalarTensor) {
      inputs.push_back(meta_tensor(a.dtype, {}, {}, a.wrapped));
    } else if (a.kind == Arg::Kind::kScalar && (scalars >> i & 1)) {
      inputs.push_back(meta_tensor(scalar_dtype(c.scalars[a.index].category), {}, {}, true));
    } else if (a.kind == Arg::Kind::kConst && (scalars >> i & 1)) {
      inputs.push_back(meta_tensor(constant_dtype(a.value), {}, {}, true));
    } else {
      continue;
    }
    first_dtype.push_back(inputs.back().scalar_type());
  }
  Iterator iterator;
  at::TensorIteratorConfig config;
  config.set_check_mem_overlap(false).add_owned_output(at::Tensor());
  c10::ScalarType computed = c10::ScalarType::Undefined;
  if (promote == Promote::kSecondThird) {
    // The condition takes part in the shape, not in the dtype.
    at::TensorIteratorConfig values;
    values.set_check_mem_overlap(false).add_owned_output(at::Tensor());
    values.add_const_input(inputs.at(1)).add_const_input(inputs.at(2)).promote_inputs_to_common_dtype(true);
    Iterator dtype_of;
    dtype_of.build(values);
    computed = dtype_of.common_dtype();
  }
  for (const at::Tensor& t : inputs) {
    config.add_const_input(t);
  }
  switch (promote) {
    case Promote::kCommon:
      config.promote_inputs_to_common_dtype(true);
      break;
    case Promote::kFloat:
      config.promote_inputs_to_common_dtype(true).promote_integer_inputs_to_float(true);
      break;
    case Promote::kBool:
      config.promote_inputs_to_common_dtype(true).declare_static_dtype(c10::ScalarType::Bool);
      break;
    case Promote::kFirst:
      config.check_all_same_dtype(false).declare_static_dtype(first_dtype.at(0));
      break;
    case Promote::kSecondThird:
      config.check_all_same_dtype(false).declare_static_dtype(computed);
      break;
  }
  try {
    iterator.build(config);
  } catch (const c10::Error& error) {
    TORCH_CHECK(false, "[", c.op.name, "] ", error.what_without_backtrace());
  }
  c.returns.push_back(iterator.meta);
}

// As ATen indexes: a pointwise op over self with the indexed dims replaced by the common shape of the indices, which stands where the
// first of them was, or in front when they are apart.
void index(InferContext& c) {  // (self, indices)
  const Window& x = c.window(0);
  const Arg& list = c.args[1];
  TORCH_CHECK_INDEX(list.count <= x.sizes.size(), "[", c.op.name, "] too many indices for tensor of dimension ", x.sizes.size(), " (got ",
                    list.count, ")");
  c10::SmallVector<size_t, 4> dims;
  DimVector common;
  for (uint32_t k = 0; k < list.count; ++k) {
    const WindowId id = c.list_items[list.index + k];
    if (id == kNone) {
      continue;
    }
    const Window& i = c.windows[id];
    TORCH_CHECK_INDEX(i.dtype == c10::ScalarType::Long || i.dtype == c10::ScalarType::Int, "[", c.op.name, "] got an index of dtype ",
                      i.dtype, ", expected int64, int32, uint8 or bool");
    common = at::infer_size_dimvector(common, i.sizes);
    dims.push_back(k);
  }
  const bool adjacent = dims.empty() || dims.back() - dims.front() + 1 == dims.size();
  const size_t before = adjacent && !dims.empty() ? dims.front() : 0, after = x.sizes.size() - dims.size() - before;
  std::vector<Window> windows;
  Window self;
  self.dtype = x.dtype;
  for (size_t d = 0; d < x.sizes.size(); ++d) {
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) {
      self.sizes.push_back(x.sizes[d]);
      self.strides.push_back(x.strides[d]);
    }
  }
  self.sizes.insert(self.sizes.begin() + before, common.begin(), common.end());
  self.strides.insert(self.strides.begin() + before, common.size(), 0);
  windows.push_back(self);
  for (size_t d : dims) {
    Window i = c.windows[c.list_items[list.index + d]];
    i.sizes.append(after, 1);
    i.strides.append(after, 0);
    windows.push_back(i);
  }
  std::vector<Arg> args(windows.size());
  for (uint32_t i = 0; i < args.size(); ++i) {
    args[i].kind = Arg::Kind::kWindow;
    args[i].index = i;
  }
  InferContext indexed{c.op, args, windows, {}, {}, c.returns};
  pointwise(indexed, Promote::kFirst, 0);
}

// Computed as other - self: the order of the operands decides the strides.
void rsub(InferContext& c) {
  c10::SmallVector<Arg, 3> turned{c.args[1], c.args[0]};
  InferContext other{c.op, turned, c.windows, c.list_items, c.scalars, c.returns};
  pointwise(other, Promote::kCommon, 0);
}

void divide_mode(InferContext& c) {  // (self, other, rounding_mode?)
  pointwise(c, c.has(2) ? Promote::kCommon : Promote::kFloat, 0);
}

void power_of_number(InferContext& c) {
  pointwise(c, Promote::kCommon, 1);
  const auto s = c10::contiguous_strides(c.returns[0].sizes);
  c.returns[0].strides.assign(s.begin(), s.end());
}

void masked_fill(InferContext& c) {
  TORCH_CHECK(!c.is_tensor(2) || c.window(2).sizes.empty(), "[", c.op.name, "] got a value tensor with ", c.window(2).sizes.size(),
              " dimensions, expected a 0-dim one");
  pointwise(c, Promote::kFirst, 0);
  const auto s = c10::contiguous_strides(c.returns[0].sizes);
  c.returns[0].strides.assign(s.begin(), s.end());
}

void real_valued(InferContext& c, Promote promote) {
  pointwise(c, promote, 0);
  c.returns[0].dtype = c10::toRealValueType(c.returns[0].dtype);
}

void frexp(InferContext& c) {
  TORCH_CHECK(c10::isFloatingType(c.window(0).dtype), "[", c.op.name, "] got dtype ", c.window(0).dtype,
              ", expected a floating point dtype");
  two_alike(c);
  c.returns[1].dtype = c10::ScalarType::Int;
}

void two_alike(InferContext& c) {
  pointwise(c, Promote::kCommon, 0);
  c.returns.push_back(c.returns[0]);
}

void like_self(InferContext& c) {
  const Window& w = c.window(0);
  c.returns.push_back({true, w.dtype, w.sizes, w.strides});
}

void clone(InferContext& c) {
  const Window& w = c.window(0);
  TensorMeta m{true, w.dtype, w.sizes, {}};
  const auto format = c.args.size() > 1 && c.args[1].kind == Arg::Kind::kConst ? static_cast<c10::MemoryFormat>(c.value(1).toInt())
                                                                               : c10::MemoryFormat::Preserve;
  const at::Tensor t = meta_tensor(w.dtype, w.sizes, w.strides);
  if (format == c10::MemoryFormat::Preserve) {
    const auto s = t.is_non_overlapping_and_dense() ? t.strides().vec() : at::infer_dense_strides(w.sizes, w.strides);
    m.strides.assign(s.begin(), s.end());
  } else if (format == c10::MemoryFormat::ChannelsLast) {
    const auto s = c10::get_channels_last_strides_2d(w.sizes);
    m.strides.assign(s.begin(), s.end());
  } else if (format == c10::MemoryFormat::ChannelsLast3d) {
    const auto s = c10::get_channels_last_strides_3d(w.sizes);
    m.strides.assign(s.begin(), s.end());
  } else {
    const auto s = c10::contiguous_strides(w.sizes);
    m.strides.assign(s.begin(), s.end());
  }
  c.returns.push_back(m);
}

void dropout(InferContext& c) {
  pointwise(c, Promote::kCommon, 0);
  TensorMeta mask = c.returns[0];
  mask.dtype = c10::ScalarType::Bool;
  c.returns.push_back(mask);
}

void none(InferContext&) {}

}  // namespace torch_hpu::ir::rules
