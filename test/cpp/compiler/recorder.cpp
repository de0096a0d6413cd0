#include "test/cpp/compiler/recorder.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>

#include <cstring>

#include "csrc/compiler/lower.h"
#include "csrc/compiler/pass_table.h"
#include "csrc/ir/op_registry.h"
#include "csrc/ir/text.h"
#include "csrc/ir/verify.h"
#include "test/cpp/compiler/program_check.h"

namespace torch_hpu::testing {
namespace {

constexpr size_t kGuard = 64;
constexpr int kPoison = 0xff;  // NaN in every floating dtype

// The bytes of a storage as a flat tensor.
at::Tensor flat(const at::Tensor& t) {
  const auto n = static_cast<int64_t>(t.storage().nbytes() / t.element_size());
  return at::empty({0}, t.options()).set_(t.storage(), 0, {n}, {1});
}

ir::Scalar scalar_of(const at::Scalar& number) {
  ir::Scalar s;
  if (number.isBoolean()) {
    s.category = ir::ScalarCategory::kBool;
    s.value.i = number.toBool();
  } else if (number.isIntegral(false)) {
    s.value.i = number.toLong();
  } else {
    s.category = ir::ScalarCategory::kFloat;
    s.value.d = number.toDouble();
  }
  return s;
}

c10::TypePtr without_optional(c10::TypePtr type) {
  return type->kind() == c10::TypeKind::OptionalType ? type->castRaw<c10::OptionalType>()->getElementType() : type;
}

void complete(const ir::OpInfo& op, std::vector<c10::IValue>& args) {
  const auto& schema = op.handle.schema().arguments();
  for (size_t i = args.size(); i < schema.size(); ++i) {
    args.push_back(*schema[i].default_value());
  }
}

const ir::OpInfo& find(const char* name) {
  const ir::OpInfo* op = ir::find_op(std::string("aten::") + name);
  TORCH_CHECK(op != nullptr, "no op ", name);
  return *op;
}

std::vector<at::Tensor> run_on_cpu(const char* name, std::vector<c10::IValue> args) {
  const ir::OpInfo& op = find(name);
  complete(op, args);
  torch::jit::Stack stack(args.begin(), args.end());
  op.handle.callBoxed(&stack);
  std::vector<at::Tensor> results;
  for (c10::IValue& v : stack) {
    results.push_back(v.toTensor());
  }
  return results;
}

std::vector<int64_t> recorded_offsets(const ir::Graph& graph) {
  std::vector<int64_t> offsets;
  for (const ir::Window& w : graph.windows) {
    offsets.push_back(w.offset);
  }
  return offsets;
}

}  // namespace

std::vector<at::Tensor> Recorder::call(const char* name, std::vector<c10::IValue> args) {
  for (const c10::IValue& a : args) {  // inputs have their first bytes before the call
    if (a.isTensor() && a.toTensor().defined()) {
      buffer(a.toTensor(), false);
    } else if (a.isTensorList()) {
      for (const at::Tensor& t : a.toTensorVector()) {
        buffer(t, false);
      }
    }
  }
  std::vector<at::Tensor> results = run_on_cpu(name, args);
  add_node(name, std::move(args), results);
  return results;
}

void Recorder::into(const at::Tensor& destination, const char* name, std::vector<c10::IValue> args) {
  buffer(destination, false);
  for (const c10::IValue& a : args) {
    if (a.isTensor() && a.toTensor().defined()) {
      buffer(a.toTensor(), false);
    }
  }
  const at::Tensor value = run_on_cpu(name, args)[0];
  add_node(name, std::move(args), {destination});
  destination.copy_(value);
}

at::Tensor Recorder::linear(const at::Tensor& x, int64_t out, bool bias) {
  return op("linear", {x, at::randn({out, x.size(-1)}) * 0.1, bias ? c10::IValue(at::randn({out})) : c10::IValue()});
}

void Recorder::observe(const at::Tensor& tensor) {
  graph_.buffers[buffer(tensor, false)].observable = true;
}

const ir::Graph& Recorder::graph() {
  return graph_;
}

ir::BufferId Recorder::buffer(const at::Tensor& tensor, bool fresh) {
  for (size_t b = 0; b < memories_.size(); ++b) {
    if (memories_[b].base.storage().is_alias_of(tensor.storage())) {
      return static_cast<ir::BufferId>(b);
    }
  }
  const at::Tensor bytes = flat(tensor);
  memories_.push_back({bytes, bytes.clone(), tensor.scalar_type()});
  graph_.buffers.push_back({static_cast<int64_t>(tensor.storage().nbytes()), fresh ? ir::BufferKind::kLocal : ir::BufferKind::kInput,
                            /*observable=*/!fresh, /*written=*/false});
  return static_cast<ir::BufferId>(memories_.size() - 1);
}

ir::WindowId Recorder::window(const at::Tensor& tensor, bool fresh) {
  const ir::BufferId b = buffer(tensor, fresh);
  ir::Window& w = graph_.windows.emplace_back();
  w.buffer = b;
  w.dtype = tensor.scalar_type();
  w.offset = tensor.storage_offset();
  w.sizes.assign(tensor.sizes().begin(), tensor.sizes().end());
  w.strides.assign(tensor.strides().begin(), tensor.strides().end());
  return static_cast<ir::WindowId>(graph_.windows.size() - 1);
}

void Recorder::add_node(const char* name, std::vector<c10::IValue> args, const std::vector<at::Tensor>& destinations) {
  ir::Node node;
  node.op = &find(name);
  complete(*node.op, args);
  const auto& schema = node.op->handle.schema().arguments();
  for (size_t i = 0; i < args.size(); ++i) {
    ir::Arg& arg = node.args.emplace_back();
    const c10::TypeKind type = without_optional(schema[i].real_type())->kind();
    const bool number = type == c10::TypeKind::NumberType || type == c10::TypeKind::FloatType;
    if (args[i].isNone() || (args[i].isTensor() && !args[i].toTensor().defined())) {
      arg.kind = ir::Arg::Kind::kNone;
    } else if (args[i].isTensor()) {
      arg.kind = ir::Arg::Kind::kWindow;
      arg.index = window(args[i].toTensor(), false);
    } else if (args[i].isTensorList()) {
      arg.kind = ir::Arg::Kind::kWindowList;
      std::vector<ir::WindowId> items;
      for (const at::Tensor& t : args[i].toTensorVector()) {
        items.push_back(window(t, false));
      }
      arg.index = static_cast<uint32_t>(graph_.list_items.size());
      arg.count = static_cast<uint32_t>(items.size());
      graph_.list_items.insert(graph_.list_items.end(), items.begin(), items.end());
    } else if (number && !ir::is_structure(*node.op, i, args[i])) {
      arg.kind = ir::Arg::Kind::kScalar;
      arg.index = static_cast<uint32_t>(graph_.scalars.size());
      graph_.scalars.push_back(scalar_of(args[i].toScalar()));
    } else {
      arg.kind = ir::Arg::Kind::kConst;
      arg.value = args[i];
    }
  }
  for (const at::Tensor& t : destinations) {
    const ir::WindowId w = window(t, true);
    graph_.buffers[graph_.windows[w].buffer].written = true;
    node.writes.push_back(w);
  }
  graph_.nodes.push_back(std::move(node));
}

Recorder::Result Recorder::run(const Recipe& recipe) {
  return run(recipe, recorded_offsets(graph_));
}

Recorder::Result Recorder::run(const Recipe& recipe, const std::vector<int64_t>& offsets) {
  return run(recipe, offsets, /*donate=*/false);
}

Recorder::Result Recorder::run_donating(const Recipe& recipe) {
  return run(recipe, recorded_offsets(graph_), /*donate=*/true);
}

Recorder::Result Recorder::run(const Recipe& recipe, const std::vector<int64_t>& offsets, bool donate) {
  std::vector<std::vector<std::byte>> blocks(memories_.size());
  std::vector<std::byte> arena_bytes(static_cast<size_t>(recipe.arena_bytes) + kGuard + 64, std::byte{kPoison});
  std::byte* arena = arena_bytes.data() + (64 - reinterpret_cast<uintptr_t>(arena_bytes.data()) % 64) % 64;
  std::vector<std::byte*> pointers(recipe.placements.size());
  for (size_t b = 0; b < pointers.size(); ++b) {
    const Recipe::Placement& place = recipe.placements[b];
    if (place.in_arena) {
      EXPECT_LE(place.arena_offset + place.nbytes, std::max(recipe.arena_bytes, place.nbytes));
      pointers[b] = arena + place.arena_offset;
      continue;
    }
    const auto nbytes = static_cast<size_t>(place.nbytes);
    blocks[b].assign(nbytes + kGuard, std::byte{kPoison});
    if (graph_.buffers[b].kind == ir::BufferKind::kInput) {
      std::memcpy(blocks[b].data(), memories_[b].initial.const_data_ptr(), nbytes);
    }
    pointers[b] = blocks[b].data();
  }
  std::vector<bool> taken(memories_.size());
  for (const auto& [output, input] : recipe.donations) {
    if (donate && !taken[output] && !taken[input]) {
      taken[output] = taken[input] = true;
      pointers[output] = pointers[input];
    }
  }
  std::vector<ir::ScalarValue> scalars;
  for (const ir::Scalar& s : graph_.scalars) {
    scalars.push_back(s.value);
  }
  const Invocation invocation{pointers.data(), offsets.data(), scalars.data(), nullptr};
  for (const auto& step : recipe.steps) {
    step->run(invocation);
  }
  Result result;
  for (size_t b = 0; b < memories_.size(); ++b) {
    if (recipe.placements[b].in_arena || (taken[b] && graph_.buffers[b].kind == ir::BufferKind::kInput)) {
      continue;
    }
    const auto nbytes = static_cast<size_t>(recipe.placements[b].nbytes);
    for (size_t i = 0; i < kGuard; ++i) {
      EXPECT_EQ(blocks[b][nbytes + i], std::byte{kPoison}) << "bytes behind buffer " << b << " were written";
    }
    at::Tensor got = at::empty_like(memories_[b].base);
    std::memcpy(got.mutable_data_ptr(), pointers[b], nbytes);
    result.outputs.emplace_back(got, memories_[b].base);
  }
  return result;
}

compiler::Program optimize(ir::Graph graph) {
  for (const compiler::GraphPass& pass : compiler::graph_passes()) {
    pass.run(graph);
    EXPECT_NO_THROW(ir::verify(graph)) << "after " << pass.name << '\n' << ir::to_string(graph);
  }
  compiler::Program program = compiler::lower(std::move(graph));
  check_program(program, "lowering");
  for (const compiler::Pass& pass : compiler::passes()) {
    pass.run(program);
    check_program(program, pass.name);
  }
  return program;
}

Counts counts(const compiler::Program& program) {
  Counts c;
  for (const compiler::Item& item : program.items) {
    ++(item.kind == compiler::Item::Kind::kExtern    ? c.extern_calls
       : item.kind == compiler::Item::Kind::kLibrary ? c.library_calls
                                                     : c.kernels);
  }
  return c;
}

std::ostream& operator<<(std::ostream& out, const Counts& c) {
  return out << c.kernels << " kernels, " << c.library_calls << " library calls, " << c.extern_calls << " extern calls";
}

Counts check(Recorder& recorder, double tolerance) {
  const compiler::Program program = optimize(recorder.graph());
  for (const compiler::Tier tier : {compiler::Tier::kGeneric, compiler::Tier::kCompiled}) {
    const auto recipe = compiler::compile(recorder.graph(), tier);
    for (const bool donate : {false, true}) {
      const auto result = donate ? recorder.run_donating(*recipe) : recorder.run(*recipe);
      for (const auto& [got, expected] : result.outputs) {
        EXPECT_TRUE(c10::isFloatingType(got.scalar_type()) ? at::allclose(got, expected, tolerance, tolerance, /*equal_nan=*/true)
                                                           : at::equal(got, expected))
            << (tier == compiler::Tier::kGeneric ? "generic tier" : "compiled tier") << (donate ? ", donating" : "") << "\ngot "
            << got.slice(0, 0, 24) << "\nexpected " << expected.slice(0, 0, 24) << '\n'
            << compiler::to_string(compiler::lower(recorder.graph())) << "\nbecame\n"
            << compiler::to_string(program);
      }
    }
  }
  return counts(program);
}

}  // namespace torch_hpu::testing
