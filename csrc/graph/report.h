// What people can see of captured graphs: text, graphviz, JSON, and the table of all live graphs.
#pragma once

#include <string>

#include "csrc/graph/captured.h"

namespace torch_hpu::graph {

std::string as_text(const Captured& graph);  // sizes, steps, the recorded and the compiled graph
std::string as_dot(const Captured& graph);   // the recorded graph for graphviz
std::string as_json(const Captured& graph);  // sizes, and per step: kind, name, bytes, measured runs and microseconds per run

// Graphs enlist when they are captured and strike themselves when they go.
void enlist(const Captured* graph);
void strike(const Captured* graph);
// One line per live graph: id, pool, bytes of arena, outputs and inputs, steps.
std::string table();

// Empty when a replay of `b` would do what a replay of `a` does on the same memory; else the first difference: structure, or the scalar that
// is frozen to another value, by its op.
std::string difference(const Captured& a, const Captured& b);

}  // namespace torch_hpu::graph
