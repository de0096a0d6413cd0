// Records ATen calls on CPU tensors as a graph while they run, so that the tensors hold what every recipe of the graph must compute.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "csrc/compiler/compile.h"
#include "csrc/compiler/program.h"
#include "csrc/ir/graph.h"

namespace torch_hpu::testing {

class Recorder {
 public:
  // Calls the functional overload `name` ("add.Tensor") and records it. Arguments that are left out take the schema's defaults.
  // Numbers become run-time scalars or structure, as the op table says.
  std::vector<at::Tensor> call(const char* name, std::vector<c10::IValue> args);
  at::Tensor op(const char* name, std::vector<c10::IValue> args) {
    return call(name, std::move(args))[0];
  }
  // The same, stored into `destination` (a view of anything) as copy_ does.
  void into(const at::Tensor& destination, const char* name, std::vector<c10::IValue> args);
  // A linear layer of `out` features with a random weight and bias of its own.
  at::Tensor linear(const at::Tensor& x, int64_t out, bool bias = true);
  // The storage is read after the graph has run. Inputs always are.
  void observe(const at::Tensor& tensor);
  // The graph, once everything is recorded.
  const ir::Graph& graph();

  // What a recipe left in every observable buffer, beside what ATen left there: each pair as flat tensors of one dtype.
  struct Result {
    std::vector<std::pair<at::Tensor, at::Tensor>> outputs;  // got, expected
  };
  // Arena and locals are poisoned with NaN bytes first, and have guard bytes behind them.
  Result run(const Recipe& recipe);
  // The same, with every donation of the recipe accepted, as if all inputs were dead; those that were given away are not in the result.
  Result run_donating(const Recipe& recipe);
  Result run(const Recipe& recipe, const std::vector<int64_t>& offsets);

 private:
  Result run(const Recipe& recipe, const std::vector<int64_t>& offsets, bool donate);

  struct Memory {
    at::Tensor base;     // one per storage
    at::Tensor initial;  // its bytes before the graph
    c10::ScalarType dtype;
  };
  void add_node(const char* name, std::vector<c10::IValue> args, const std::vector<at::Tensor>& destinations);
  ir::BufferId buffer(const at::Tensor& tensor, bool fresh);
  ir::WindowId window(const at::Tensor& tensor, bool fresh);

  ir::Graph graph_;
  std::vector<Memory> memories_;  // by BufferId
};

// Runs all passes one after another and checks the program after each: accesses within their buffers, no read of local bytes that
// nothing has written, well-formed loops.
compiler::Program optimize(ir::Graph graph);

struct Counts {
  size_t kernels = 0, library_calls = 0, extern_calls = 0;
  bool operator==(const Counts&) const = default;
};
Counts counts(const compiler::Program& program);
std::ostream& operator<<(std::ostream& out, const Counts& c);

// Compiles for both tiers, runs both, with and without donations, compares with ATen; returns what the compiled program consists of.
Counts check(Recorder& recorder, double tolerance = 2e-5);

}  // namespace torch_hpu::testing
