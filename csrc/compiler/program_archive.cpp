#include "csrc/compiler/program_archive.h"

#include <ATen/Parallel.h>

#include "csrc/codegen/codegen.h"
#include "csrc/codegen/loop_archive.h"
#include "csrc/ir/text.h"
#include "csrc/support/archive.h"
#include "csrc/support/disk_cache.h"
#include "csrc/support/env.h"

namespace torch_hpu {

namespace ir {

template <class A>
void archive(A& a, Buffer& buffer) {
  auto& [nbytes, kind, observable, written] = buffer;
  a(nbytes, kind, observable, written);
}

}  // namespace ir

namespace kernels {

template <class A>
void archive(A& a, Operand& operand) {
  auto& [buffer, dtype, offset, dynamic, sizes, strides] = operand;
  a(buffer, dtype, offset, dynamic, sizes, strides);
}

template <class A>
void archive(A& a, PostOp& post_op) {
  auto& [kind, operand, value] = post_op;
  a(kind, operand, value);
}

template <class A>
void archive(A& a, LibraryCall& call) {
  auto& [primitive, reads, writes, ints, floats, scalars, post_ops, op] = call;
  a(primitive, reads, writes, ints, floats, scalars, post_ops, op);
}

}  // namespace kernels

namespace compiler {

template <class A>
void archive(A& a, Item& item) {
  auto& [kind, loop, group, call, node] = item;
  a(kind, loop, group, call, node);
}

template <class A>
void archive(A& a, Program& program) {
  auto& [graph, buffers, items, from_disk] = program;  // the graph is the key's
  a(buffers, items);
}

namespace {

constexpr const char* kKind = "program";

// What a key begins with. With other threads other kernels are chosen: steps of a program from disk find the choices there, too.
std::string host() {
  return codegen::host_description() + '\n' + std::to_string(at::get_num_threads()) + " threads\n";
}

}  // namespace

std::optional<std::string> program_key(const ir::Graph& graph) {
  if (!disk_cache::enabled() || options().verify || !options().dump.empty()) {
    return std::nullopt;
  }
  try {
    return host() + ir::structure_of(graph);
  } catch (const c10::NotImplementedError&) {
    return std::nullopt;
  }
}

std::optional<ir::Graph> graph_in(const std::string& key) {
  const std::string prefix = host();
  if (key.compare(0, prefix.size(), prefix) != 0) {
    return std::nullopt;
  }
  const std::string_view text = std::string_view(key).substr(prefix.size());
  constexpr std::string_view kNode = "\nnode ", kAten = "aten::";
  for (size_t at = text.find(kNode); at != text.npos; at = text.find(kNode, at + 1)) {
    if (text.substr(at + kNode.size(), kAten.size()) != kAten) {
      return std::nullopt;
    }
  }
  ir::Graph graph = ir::parse(text);
  TORCH_CHECK(ir::structure_of(graph) == text, "[ir] a graph's text lost something");
  return graph;
}

Program program_in(const std::string& bytes, const ir::Graph& graph) {
  Program program;
  Reader r(bytes);
  r(program);
  r.finish();
  program.graph = std::make_shared<const ir::Graph>(graph);
  program.from_disk = true;
  return program;
}

std::optional<Program> load_program(const std::string& key, const ir::Graph& graph) {
  const std::optional<std::string> bytes = disk_cache::find(kKind, key);
  return bytes ? std::optional(program_in(*bytes, graph)) : std::nullopt;
}

void keep_program(const std::string& key, const Program& program) {
  Writer w;
  w(program);
  disk_cache::insert(kKind, key, w.take());
}

std::string program_file(const std::string& key) {
  return disk_cache::file_of(kKind, key);
}

}  // namespace compiler
}  // namespace torch_hpu
