#include "csrc/ir/op_registry.h"

#include <ATen/core/enum_tag.h>

#include <algorithm>
#include <mutex>
#include <regex>
#include <unordered_map>
#include <unordered_set>

namespace torch_hpu::ir {
namespace {

// Ops that must see data at once although their tags do not say so.
const std::unordered_set<std::string_view>& breaking_ops() {
  static const std::unordered_set<std::string_view> names{
      "aten::_linalg_check_errors", "aten::equal",    "aten::is_nonzero", "aten::_assert_async",   "aten::_assert_async.msg",
      "aten::_local_scalar_dense",  "aten::_unique2", "aten::_ctc_loss",  "aten::_ctc_loss.Tensor"};
  return names;
}

// Ops that take the shape of argument 0 and ignore its bytes.
const std::unordered_set<std::string_view>& ignoring_self() {
  static const std::unordered_set<std::string_view> names{
      "aten::copy",        "aten::fill.Scalar",      "aten::fill.Tensor", "aten::zero",        "aten::uniform",   "aten::normal_functional",
      "aten::bernoulli.p", "aten::bernoulli.Tensor", "aten::random",      "aten::random.from", "aten::random.to", "aten::exponential",
      "aten::log_normal",  "aten::cauchy",           "aten::geometric"};
  return names;
}

// Batch norm writes the running statistics in training, although its schema hides it.
void note_hidden_writes(OpInfo& info) {
  if (info.name == "aten::native_batch_norm" || info.name == "aten::cudnn_batch_norm" || info.name == "aten::miopen_batch_norm") {
    info.mutated = {3, 4};
    info.mutates_if = 5;
  }
}

struct Registry {
  std::recursive_mutex mutex;
  std::unordered_map<std::string, std::unique_ptr<OpInfo>> ops;
  std::vector<std::unique_ptr<OpInfo>> retired;  // of ops that the dispatcher dropped
  uint32_t next_id = 1;
};

Registry& registry() {
  static auto* instance = new Registry;
  return *instance;
}

std::string full_name(const c10::OperatorName& name) {
  return name.overload_name.empty() ? name.name : name.name + "." + name.overload_name;
}

bool same_types(c10::ArrayRef<c10::Argument> a, c10::ArrayRef<c10::Argument> b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (*a[i].type() != *b[i].type()) {
      return false;
    }
  }
  return true;
}

size_t out_arguments(const c10::FunctionSchema& schema) {
  return static_cast<size_t>(
      std::count_if(schema.arguments().begin(), schema.arguments().end(), [](const c10::Argument& a) { return a.is_out(); }));
}

bool writes_something(const c10::FunctionSchema& schema) {
  return std::any_of(schema.arguments().begin(), schema.arguments().end(),
                     [](const c10::Argument& a) { return a.alias_info() != nullptr && a.alias_info()->isWrite(); });
}

// The ops of the dispatcher by base name, kept current: libraries come and go while the process runs (Python defines ops, and drops them when a
// torch.library.Library dies). The dispatcher calls this with its lock held.
class Overloads final : public c10::OpRegistrationListener {
 public:
  static Overloads& instance() {
    static auto* listener = [] {
      auto* made = new Overloads;
      static const auto registration = c10::Dispatcher::singleton().addRegistrationListener(std::unique_ptr<Overloads>(made));
      return made;  // lives as long as the dispatcher
    }();
    return *listener;
  }

  std::vector<c10::OperatorHandle> of(const std::string& base) const {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto it = by_base_.find(base);
    return it == by_base_.end() ? std::vector<c10::OperatorHandle>() : it->second;
  }

  void onOperatorRegistered(const c10::OperatorHandle& op) override {
    std::lock_guard<std::mutex> lock(mutex_);
    by_base_[op.operator_name().name].push_back(op);
  }
  void onOperatorDeregistered(const c10::OperatorHandle& op) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      std::erase_if(by_base_[op.operator_name().name],
                    [&](const c10::OperatorHandle& other) { return other.operator_name() == op.operator_name(); });
    }
    // Another op may take the name. The info stays for the traces and recipes that point to it.
    Registry& r = registry();
    std::lock_guard<std::recursive_mutex> lock(r.mutex);
    if (const auto it = r.ops.find(full_name(op.operator_name())); it != r.ops.end()) {
      r.retired.push_back(std::move(it->second));
      r.ops.erase(it);
    }
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::vector<c10::OperatorHandle>> by_base_;
};

// The overload that computes the same value from the same arguments and writes nothing.
std::optional<c10::OperatorHandle> functional_of(const c10::OperatorHandle& op) {
  const c10::FunctionSchema& schema = op.schema();
  const size_t outs = out_arguments(schema);
  std::string base = op.operator_name().name;
  const size_t mark = base.find("::__i");
  const bool is_operator = mark != std::string::npos && base.ends_with("__");  // aten::__ilshift__ is the in-place aten::__lshift__
  const bool in_place = outs == 0 && (is_operator || (base.size() > 1 && base.back() == '_' && !base.ends_with("__")));
  if (outs == 0 && !in_place) {
    return std::nullopt;
  }
  if (in_place) {
    // Only ops that write self and nothing else have a functional twin with the same meaning.
    for (size_t i = 0; i < schema.arguments().size(); ++i) {
      const c10::AliasInfo* alias = schema.arguments()[i].alias_info();
      if (alias != nullptr && alias->isWrite() && i != 0) {
        return std::nullopt;
      }
    }
    base.erase(is_operator ? mark + 4 : base.size() - 1, 1);
  }
  const c10::ArrayRef<c10::Argument> wanted(schema.arguments().data(), schema.arguments().size() - outs);
  for (const std::string& candidate_base : {base, base + "_functional"}) {
    for (const c10::OperatorHandle& candidate : Overloads::instance().of(candidate_base)) {
      const c10::FunctionSchema& other = candidate.schema();
      const size_t returns = outs == 0 ? 1 : outs;
      if (out_arguments(other) == 0 && !writes_something(other) && other.returns().size() == returns &&
          std::all_of(other.returns().begin(), other.returns().end(),
                      [](const c10::Argument& r) { return r.type()->kind() == c10::TypeKind::TensorType && r.alias_info() == nullptr; }) &&
          same_types(wanted, other.arguments())) {
        return candidate;
      }
    }
  }
  return std::nullopt;
}

std::optional<c10::OperatorHandle> out_variant_of(const c10::OperatorHandle& op) {
  const c10::FunctionSchema& schema = op.schema();
  for (const c10::OperatorHandle& candidate : Overloads::instance().of(op.operator_name().name)) {
    const c10::FunctionSchema& other = candidate.schema();
    const size_t outs = out_arguments(other);
    if (outs > 0 && outs == schema.returns().size() && other.arguments().size() == schema.arguments().size() + outs &&
        same_types(schema.arguments(), {other.arguments().data(), schema.arguments().size()})) {
      return candidate;
    }
  }
  return std::nullopt;
}

}  // namespace

bool kernel_is_python(const c10::OperatorHandle& op, c10::DispatchKey key) {
  if (!op.hasComputedKernelForDispatchKey(key)) {
    return false;
  }
  // The dispatcher notes the source that registered a kernel: "registered at ops.cpp:12".
  const std::string source = op.getComputedKernelForDispatchKey(key).debug();
  return !std::regex_search(source, std::regex(R"(\.(c|cc|cpp|cxx|cu|cuh|h|hh|hpp|hxx|inl|mm):\d+)"));
}

const OpInfo& op_info(const c10::OperatorHandle& handle) {
  Registry& r = registry();
  const std::string name = full_name(handle.operator_name());
  std::lock_guard<std::recursive_mutex> lock(r.mutex);
  auto& slot = r.ops[name];
  if (slot != nullptr) {
    return *slot;
  }
  auto info = std::make_unique<OpInfo>(handle);
  info->name = name;
  info->id = r.next_id++;
  const c10::FunctionSchema& schema = handle.schema();
  for (uint32_t i = 0; i < schema.arguments().size(); ++i) {
    const c10::AliasInfo* alias = schema.arguments()[i].alias_info();
    if (alias != nullptr && alias->isWrite()) {
      info->mutated.push_back(i);
    }
  }
  note_hidden_writes(*info);
  info->is_view = std::any_of(schema.returns().begin(), schema.returns().end(),
                              [](const c10::Argument& a) { return a.alias_info() != nullptr && !a.alias_info()->isWrite(); });
  info->ignores_self = ignoring_self().count(name) != 0;
  if (breaking_ops().count(name) != 0 || handle.hasTag(at::Tag::dynamic_output_shape) || handle.hasTag(at::Tag::data_dependent_output)) {
    info->op_class = OpClass::kBreaking;
  }
  if (name.compare(0, 6, "aten::") != 0) {
    if (kernel_is_python(handle, c10::DispatchKey::CPU)) {
      info->op_class = OpClass::kBreaking;
    }
  } else if (const OpRow* row = find_row(std::string_view(name).substr(6))) {
    info->op_class = row->op_class;
    info->infer = row->infer;
    info->structural = row->structural;
    info->random = row->random;
    info->unit = row->unit;
  }
  slot = std::move(info);
  OpInfo& result = *slot;
  if (auto functional = functional_of(handle)) {
    result.functional = &op_info(*functional);  // may move the map, not the info
  } else if (result.mutated.empty()) {
    result.out_variant = out_variant_of(handle);
  }
  return result;
}

const OpInfo* find_op(std::string_view name) {
  const size_t dot = name.find('.');
  const auto handle = c10::Dispatcher::singleton().findSchema(
      {std::string(name.substr(0, dot)), dot == std::string_view::npos ? "" : std::string(name.substr(dot + 1))});
  return handle.has_value() ? &op_info(*handle) : nullptr;
}

const OpRow* find_row(std::string_view name) {
  static const auto* rows = [] {
    auto* map = new std::unordered_map<std::string_view, const OpRow*>;
    for (const OpRow& row : op_table()) {
      map->emplace(row.name, &row);
    }
    return map;
  }();
  auto it = rows->find(name);
  return it == rows->end() ? nullptr : it->second;
}

}  // namespace torch_hpu::ir
