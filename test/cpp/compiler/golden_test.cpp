// Passes as text. Each file of golden/ shows one pass at work:
//
//   # what it shows
//   pass: fuse                      of a name that stands twice in the table: "pass: simplify 2" is the second one
//   buffer b0 ...                   a graph, as csrc/ir/text.h describes it
//   ---- before
//   ...                             the program when the pass begins (a pass over the graph sees the graph above: left out)
//   ---- after
//   ...
//
// With TORCH_HPU_UPDATE_GOLDEN=1 both texts are written anew from what the compiler does now: read the diff.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "csrc/compiler/lower.h"
#include "csrc/compiler/pass_table.h"
#include "csrc/ir/text.h"
#include "csrc/ir/verify.h"
#include "test/cpp/compiler/program_check.h"

namespace torch_hpu {
namespace {

namespace fs = std::filesystem;

struct Golden {
  std::string comment, pass, graph;  // pass: the line's text
  std::string before, after;
};

Golden read(const fs::path& path) {
  std::ifstream in(path);
  Golden g;
  std::string* part = &g.graph;
  for (std::string line; std::getline(in, line);) {
    if (line == "---- before" || line == "---- after") {
      part = line == "---- before" ? &g.before : &g.after;
    } else if (line.starts_with('#') && part == &g.graph) {
      g.comment += line + '\n';
    } else if (line.starts_with("pass: ")) {
      g.pass = line.substr(6);
    } else {
      *part += line + '\n';
    }
  }
  return g;
}

void write(const fs::path& path, const Golden& g) {
  std::ofstream(path) << g.comment << "pass: " << g.pass << '\n'
                      << g.graph << (g.before.empty() ? "" : "---- before\n" + g.before) << "---- after\n"
                      << g.after;
}

// Fills `before` and `after` by running the passes up to the one that the file names.
void run(Golden& g) {
  std::istringstream words(g.pass);
  std::string name;
  int turn = 1;
  words >> name >> turn;
  turn = words.fail() ? 1 : turn;
  const auto is_it = [&](const char* pass) { return name == pass && --turn == 0; };

  ir::Graph graph = ir::parse(g.graph);
  ir::verify(graph);
  g.before.clear();
  for (const compiler::GraphPass& pass : compiler::graph_passes()) {
    const std::string before = ir::to_string(graph);
    pass.run(graph);
    ir::verify(graph);
    if (is_it(pass.name)) {
      g.after = ir::to_string(graph);
      EXPECT_NE(before, g.after) << "the pass did nothing";
      return;
    }
  }
  compiler::Program program = compiler::lower(graph);
  for (const compiler::Pass& pass : compiler::passes()) {
    g.before = compiler::to_string(program);
    pass.run(program);
    testing::check_program(program, pass.name);
    if (is_it(pass.name)) {
      g.after = compiler::to_string(program);
      EXPECT_NE(g.before, g.after) << "the pass did nothing";
      return;
    }
  }
  FAIL() << "no pass '" << g.pass << "'";
}

std::vector<fs::path> files() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(fs::path(__FILE__).parent_path() / "golden")) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class PassGolden : public ::testing::TestWithParam<fs::path> {};

TEST_P(PassGolden, TextIsAsWritten) {
  const Golden expected = read(GetParam());
  Golden got = expected;
  run(got);
  if (std::getenv("TORCH_HPU_UPDATE_GOLDEN") != nullptr) {
    write(GetParam(), got);
    return;
  }
  EXPECT_EQ(got.before, expected.before);
  EXPECT_EQ(got.after, expected.after);
}

INSTANTIATE_TEST_SUITE_P(Files, PassGolden, ::testing::ValuesIn(files()), [](const auto& file) { return file.param.stem().string(); });

TEST(PassGoldenFiles, EveryPassHasOne) {
  std::set<std::string> shown;
  for (const fs::path& path : files()) {
    shown.insert(read(path).pass);
  }
  for (const compiler::GraphPass& pass : compiler::graph_passes()) {
    EXPECT_TRUE(shown.contains(pass.name)) << pass.name;
  }
  for (const compiler::Pass& pass : compiler::passes()) {
    EXPECT_TRUE(shown.contains(pass.name)) << pass.name;
  }
}

}  // namespace
}  // namespace torch_hpu
