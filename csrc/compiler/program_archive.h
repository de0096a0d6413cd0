// Optimized programs on disk, so that the passes run once for all processes.
#pragma once

#include <optional>
#include <string>

#include "csrc/compiler/program.h"

namespace torch_hpu::compiler {

// What the program of `graph` depends on; empty when nothing is kept on disk, when somebody wants to see the passes at work
// (TORCH_HPU_DUMP, TORCH_HPU_VERIFY), or when the graph holds a constant that has no text.
std::optional<std::string> program_key(const ir::Graph& graph);

// The graph in a key, but for what differs between runs. Nothing if the key is for other threads or instructions, or has ops of others than ATen,
// which may be registered at this very moment.
std::optional<ir::Graph> graph_in(const std::string& key);

// The program that some process has kept under `key`.
std::optional<Program> load_program(const std::string& key, const ir::Graph& graph);

// The program whose bytes the cache holds, for the graph of its key.
Program program_in(const std::string& bytes, const ir::Graph& graph);

void keep_program(const std::string& key, const Program& program);

// The name of its file in the disk cache.
std::string program_file(const std::string& key);

}  // namespace torch_hpu::compiler
