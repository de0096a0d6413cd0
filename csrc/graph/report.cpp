#include "csrc/graph/report.h"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "csrc/ir/op.h"
#include "csrc/ir/text.h"
#include "csrc/support/hash.h"

namespace torch_hpu::graph {
namespace {

const char* name(StepKind kind) {
  switch (kind) {
    case StepKind::kKernel:
      return "kernel";
    case StepKind::kLibrary:
      return "library";
    case StepKind::kExtern:
      return "extern";
  }
  return "";
}

struct Live {
  std::mutex mutex;
  std::set<const Captured*> graphs;
};

Live& live() {
  static auto* instance = new Live;
  return *instance;
}

// The op that takes the scalar.
std::string op_of(const ir::Graph& graph, ir::ScalarId scalar) {
  for (const ir::Node& node : graph.nodes) {
    for (const ir::Arg& arg : node.args) {
      if ((arg.kind == ir::Arg::Kind::kScalar || arg.kind == ir::Arg::Kind::kScalarTensor) && arg.index == scalar) {
        return node.op->name;
      }
    }
  }
  return "an op";
}

std::string to_string(const ir::Scalar& s) {
  std::ostringstream out;
  if (s.category == ir::ScalarCategory::kFloat || s.category == ir::ScalarCategory::kComplex) {
    out << s.value.d;
  } else {
    out << s.value.i;
  }
  return out.str();
}

}  // namespace

std::string as_text(const Captured& graph) {
  std::ostringstream out;
  out << "graph " << hex8(graph.recipe().id) << '\n';
  for (const auto& [key, n] : graph.statistics()) {
    out << "  " << key << ": " << n << '\n';
  }
  for (const auto& step : graph.steps()) {
    out << "  " << step.name << '\n';
  }
  out << "\nrecorded:\n" << ir::to_string(graph.trace().graph) << "\ncompiled:\n" << graph.recipe().text();
  return out.str();
}

std::string as_dot(const Captured& graph) {
  return ir::to_dot(graph.trace().graph);
}

std::string as_json(const Captured& graph) {
  nlohmann::json steps = nlohmann::json::array();
  for (const auto& step : graph.steps()) {
    nlohmann::json row{{"kind", name(step.kind)}, {"name", step.name}, {"bytes", step.bytes}, {"runs", step.runs}};
    if (step.runs > 0) {
      row["microseconds"] = step.seconds * 1e6 / static_cast<double>(step.runs);
    }
    steps.push_back(std::move(row));
  }
  return nlohmann::json{{"graph", hex8(graph.recipe().id)}, {"statistics", graph.statistics()}, {"steps", steps}}.dump(2);
}

void enlist(const Captured* graph) {
  const std::lock_guard<std::mutex> lock(live().mutex);
  live().graphs.insert(graph);
}

void strike(const Captured* graph) {
  const std::lock_guard<std::mutex> lock(live().mutex);
  live().graphs.erase(graph);
}

std::string table() {
  std::string out = "   graph  pool         arena       outputs        inputs  steps\n";
  const std::lock_guard<std::mutex> lock(live().mutex);
  for (const Captured* graph : live().graphs) {
    const auto s = graph->statistics();
    char line[128];
    std::snprintf(line, sizeof line, "%s  %4lu  %12ld  %12ld  %12ld  %5ld\n", hex8(graph->recipe().id).c_str(), graph->pool().second,
                  s.at("arena"), s.at("outputs"), s.at("inputs"), s.at("steps"));
    out += line;
  }
  return out;
}

std::string difference(const Captured& a, const Captured& b) {
  if (a.trace().words != b.trace().words) {
    return "the ops or shapes are not the same";
  }
  const ir::Graph &g = a.trace().graph, &h = b.trace().graph;
  for (ir::ScalarId s = 0; s < g.scalars.size(); ++s) {
    const ir::Scalar &x = g.scalars[s], &y = h.scalars[s];
    if (x.value.i != y.value.i || x.value.imag != y.value.imag) {
      const bool drawn = std::any_of(a.trace().draws.begin(), a.trace().draws.end(),
                                     [&](const lazy::RandomDraw& draw) { return s == draw.first || s == draw.first + 1; });
      if (!drawn) {
        return "a scalar of " + op_of(g, s) + " is not the same (" + to_string(x) + ", then " + to_string(y) + ")";
      }
    }
  }
  for (ir::WindowId w = 0; w < g.windows.size(); ++w) {
    if (g.windows[w].offset != h.windows[w].offset) {
      return "the offset of a view is not the same";
    }
  }
  return "";
}

}  // namespace torch_hpu::graph
