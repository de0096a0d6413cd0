#include "csrc/lazy/failure.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <unordered_map>

#include "csrc/compiler/compile.h"
#include "csrc/ir/op.h"
#include "csrc/lazy/memory.h"
#include "csrc/lazy/place.h"
#include "csrc/lazy/trace.h"
#include "csrc/runtime/run.h"
#include "csrc/support/hash.h"

namespace torch_hpu::lazy {
namespace {

struct Errors {
  std::mutex mutex;
  std::unordered_map<uint64_t, std::exception_ptr> of_memories;                         // by Memory::id
  std::map<std::pair<c10::DeviceIndex, c10::StreamId>, std::exception_ptr> of_streams;  // not thrown yet
  std::atomic<bool> some_of_streams{false};                                             // whether there are any
};

Errors& errors() {
  static auto* instance = new Errors;
  return *instance;
}

struct Culprit {
  uint32_t node = ir::kNone;
  std::string message;  // of ATen's kernel
};

// A step that stands for several nodes has failed. Which node is it? Runs the graph once more, node by node on ATen's kernels, on copies
// of everything that it writes, until a node fails. Custom ops are not run a second time: they may have effects beside their results.
Culprit find_culprit(const ir::Graph& graph, const Invocation& invocation) {
  for (const ir::Node& node : graph.nodes) {
    if (node.op->name.compare(0, 6, "aten::") != 0) {
      return {};
    }
  }
  const std::unique_ptr<Recipe> recipe = compiler::compile(graph, compiler::Tier::kGeneric);
  std::vector<std::unique_ptr<std::byte[]>> owned;
  auto scratch = [&](int64_t nbytes) { return owned.emplace_back(new std::byte[static_cast<size_t>(nbytes)]).get(); };
  std::byte* arena = scratch(recipe->arena_bytes);
  std::vector<std::byte*> buffers(recipe->placements.size());
  for (size_t b = 0; b < buffers.size(); ++b) {
    const Recipe::Placement& place = recipe->placements[b];
    if (place.in_arena) {
      buffers[b] = arena + place.arena_offset;
    } else if (graph.buffers[b].kind == ir::BufferKind::kInput && !graph.buffers[b].written) {
      buffers[b] = invocation.buffers[b];
    } else {
      buffers[b] = scratch(graph.buffers[b].nbytes);
      if (graph.buffers[b].kind == ir::BufferKind::kInput) {
        std::memcpy(buffers[b], invocation.buffers[b], static_cast<size_t>(graph.buffers[b].nbytes));
      }
    }
  }
  size_t step = 0;
  try {
    runtime::run(*recipe, {buffers.data(), invocation.offsets, invocation.scalars, nullptr}, step);
  } catch (const c10::Error& error) {
    return {static_cast<uint32_t>(step), error.what_without_backtrace()};
  }
  return {};
}

// The node of a step that runs one node's ATen kernel; kNone for others, and when several could be meant.
uint32_t node_of_step(const ir::Graph& graph, const Recipe& recipe, size_t step) {
  const std::string name = recipe.steps[step]->name();
  const auto is_named = [&](const ir::Node& node) { return node.op->name == name; };
  if (recipe.steps.size() == graph.nodes.size() && is_named(graph.nodes[step])) {
    return static_cast<uint32_t>(step);  // tier generic: a step for each node
  }
  const auto first = std::find_if(graph.nodes.begin(), graph.nodes.end(), is_named);
  const bool unique = first != graph.nodes.end() && std::none_of(first + 1, graph.nodes.end(), is_named);
  return unique ? static_cast<uint32_t>(first - graph.nodes.begin()) : ir::kNone;
}

std::string describe(const Trace& trace, const Recipe& recipe, size_t step, const Invocation& invocation) {
  Culprit culprit{node_of_step(trace.graph, recipe, step), ""};
  if (culprit.node == ir::kNone) {
    try {
      culprit = find_culprit(trace.graph, invocation);
    } catch (const std::exception&) {
      // No memory for a second run: the step's name has to do.
    }
  }
  const std::string where = " of graph " + hex8(recipe.id);
  if (culprit.node == ir::kNone) {
    return "in step " + std::to_string(step) + " (" + recipe.steps[step]->name() + ")" + where;
  }
  const ir::Node& node = trace.graph.nodes[culprit.node];
  return "[" + node.op->name + "] " + culprit.message + (culprit.message.empty() ? "" : "; ") + "node " + std::to_string(culprit.node) +
         where + recorded_at(trace.places[culprit.node]);
}

}  // namespace

void run_recipe(const Trace& trace, const Recipe& recipe, const Invocation& invocation, runtime::StepTimes* times) {
  size_t step = 0;
  try {
    runtime::run(recipe, invocation, step, times);
  } catch (c10::Error& error) {
    error.add_context(describe(trace, recipe, step, invocation));
    throw;
  }
}

void fail(Memory& memory, const std::exception_ptr& error) {
  std::lock_guard<std::mutex> lock(errors().mutex);
  errors().of_memories[memory.id] = error;
  memory.failed.store(true, std::memory_order_release);
}

void heal(Memory& memory) {
  if (C10_UNLIKELY(memory.failed.load(std::memory_order_acquire))) {
    std::lock_guard<std::mutex> lock(errors().mutex);
    memory.failed.store(false, std::memory_order_release);
    errors().of_memories.erase(memory.id);
  }
}

void throw_if_failed(const Memory& memory) {
  if (C10_UNLIKELY(memory.failed.load(std::memory_order_acquire))) {
    std::exception_ptr error;
    {
      std::lock_guard<std::mutex> lock(errors().mutex);
      if (const auto it = errors().of_memories.find(memory.id); it != errors().of_memories.end()) {
        error = it->second;
      }
    }
    if (error != nullptr) {
      std::rethrow_exception(error);
    }
  }
}

void keep_failure(c10::Stream stream, const std::vector<Memory*>& written, const std::exception_ptr& error) {
  for (Memory* memory : written) {
    fail(*memory, error);
  }
  std::lock_guard<std::mutex> lock(errors().mutex);
  errors().of_streams.try_emplace({stream.device_index(), stream.id()}, error);  // the first one is the one to report
  errors().some_of_streams.store(true, std::memory_order_release);
}

bool has_stream_errors() {
  return errors().some_of_streams.load(std::memory_order_acquire);
}

std::exception_ptr take_stream_error(c10::Stream stream) {
  if (C10_LIKELY(!has_stream_errors())) {
    return nullptr;
  }
  std::lock_guard<std::mutex> lock(errors().mutex);
  const auto node = errors().of_streams.extract({stream.device_index(), stream.id()});
  errors().some_of_streams.store(!errors().of_streams.empty(), std::memory_order_release);
  return node.empty() ? nullptr : node.mapped();
}

}  // namespace torch_hpu::lazy
