#include <cctype>
#include <cstdlib>

#include "csrc/ir/op.h"
#include "csrc/ir/op_registry.h"
#include "csrc/ir/text.h"

namespace torch_hpu::ir {
namespace {

// A line and a place in it.
class Line {
 public:
  Line(std::string_view text, size_t number) : text_(text), number_(number) {}

  bool at_end() {
    skip();
    return at_ >= text_.size();
  }
  // Takes `token` if it comes next.
  bool take(std::string_view token) {
    skip();
    if (text_.substr(at_, token.size()) != token) {
      return false;
    }
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token) {
    check(take(token), "expected '" + std::string(token) + "'");
  }
  std::string word() {  // up to white space or a delimiter
    skip();
    const size_t begin = at_;
    while (at_ < text_.size() && !std::isspace(static_cast<unsigned char>(text_[at_])) &&
           std::string_view("(),[]!\"").find(text_[at_]) == std::string_view::npos) {
      ++at_;
    }
    check(at_ > begin, "expected a word");
    return std::string(text_.substr(begin, at_ - begin));
  }
  int64_t integer() {
    const std::string w = word();
    char* end = nullptr;
    const int64_t n = std::strtoll(w.c_str(), &end, 10);
    check(*end == '\0', "expected an integer, got '" + w + "'");
    return n;
  }
  double real() {
    const std::string w = word();
    char* end = nullptr;
    const double d = std::strtod(w.c_str(), &end);
    check(*end == '\0', "expected a number, got '" + w + "'");
    return d;
  }
  bool boolean() {
    if (take("true")) {
      return true;
    }
    expect("false");
    return false;
  }
  uint32_t id(std::string_view letter) {
    expect(letter);
    return static_cast<uint32_t>(integer());
  }
  std::string quoted() {  // behind the opening quote
    const size_t end = text_.find('"', at_);
    check(end != std::string_view::npos, "a text without its closing quote");
    std::string s(text_.substr(at_, end - at_));
    at_ = end + 1;
    return s;
  }
  // Items up to `close`, separated by commas; the opening bracket is behind us.
  template <typename F>
  void items(std::string_view close, F item) {
    if (take(close)) {
      return;
    }
    do {
      item();
    } while (take(","));
    expect(close);
  }
  void check(bool ok, const std::string& what) const {
    TORCH_CHECK(ok, "[ir] line ", number_, ", column ", at_ + 1, ": ", what);
  }
  char peek() {
    skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool next_is_digit(size_t ahead) const {
    return at_ + ahead < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_ + ahead]));
  }

 private:
  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) {
      ++at_;
    }
  }
  std::string_view text_;
  size_t number_;
  size_t at_ = 0;
};

c10::ScalarType dtype(Line& line) {
  const std::string name = line.word();
  for (int t = 0; t < static_cast<int>(c10::ScalarType::NumOptions); ++t) {
    if (name == c10::toString(static_cast<c10::ScalarType>(t))) {
      return static_cast<c10::ScalarType>(t);
    }
  }
  line.check(false, "unknown dtype '" + name + "'");
  return c10::ScalarType::Undefined;
}

DimVector dims(Line& line) {
  DimVector values;
  line.expect("[");
  line.items("]", [&] { values.push_back(line.integer()); });
  return values;
}

void parse_buffer(Line& line, Graph& g) {
  line.check(line.id("b") == g.buffers.size(), "buffers must be numbered in order");
  Buffer b;
  b.nbytes = line.integer();
  b.kind = line.take("local") ? BufferKind::kLocal : BufferKind::kInput;
  if (b.kind == BufferKind::kInput) {
    line.expect("input");
  }
  b.observable = b.kind == BufferKind::kInput || line.take("observable");
  b.written = line.take("written");
  g.buffers.push_back(b);
}

ScalarCategory category(Line& line) {
  if (line.take("bool")) {
    return ScalarCategory::kBool;
  }
  if (line.take("int")) {
    return ScalarCategory::kInt;
  }
  if (line.take("float")) {
    return ScalarCategory::kFloat;
  }
  line.expect("complex");
  return ScalarCategory::kComplex;
}

void parse_scalar(Line& line, Graph& g) {
  line.check(line.id("s") == g.scalars.size(), "scalars must be numbered in order");
  Scalar& s = g.scalars.emplace_back();
  s.category = category(line);
  if (line.at_end()) {
    return;
  }
  switch (s.category) {
    case ScalarCategory::kBool:
      s.value.i = line.boolean();
      break;
    case ScalarCategory::kInt:
      s.value.i = line.integer();
      break;
    case ScalarCategory::kFloat:
      s.value.d = line.real();
      break;
    case ScalarCategory::kComplex:
      s.value.d = line.real();
      s.value.imag = line.real();
      break;
  }
}

void parse_window(Line& line, Graph& g) {
  line.check(line.id("w") == g.windows.size(), "windows must be numbered in order");
  Window w;
  w.buffer = line.id("b");
  w.dtype = dtype(line);
  w.sizes = dims(line);
  w.strides = dims(line);
  line.expect("@");
  w.offset = line.integer();
  w.conj = line.take("conj");
  w.neg = line.take("neg");
  g.windows.push_back(w);
}

WindowId window_or_none(Line& line) {
  return line.take("none") ? kNone : line.id("w");
}

Arg parse_argument(Line& line, Graph& g) {
  Arg arg;
  if (line.take("none")) {
    return arg;
  }
  const char first = line.peek();
  if (first == 'w' && line.next_is_digit(1)) {
    arg.kind = Arg::Kind::kWindow;
    arg.index = line.id("w");
    arg.wrapped = line.take("!");
    return arg;
  }
  if (first == 's' && line.next_is_digit(1)) {
    const std::string word = line.word();  // s0 or s0:Float
    const size_t colon = word.find(':');
    arg.index = static_cast<uint32_t>(std::strtoul(word.c_str() + 1, nullptr, 10));
    arg.kind = Arg::Kind::kScalar;
    if (colon != std::string::npos) {
      arg.kind = Arg::Kind::kScalarTensor;
      const std::string name = word.substr(colon + 1);
      Line type(name, 0);
      arg.dtype = dtype(type);
      arg.wrapped = line.take("!");
    }
    return arg;
  }
  if (line.take("[")) {
    arg.kind = Arg::Kind::kWindowList;
    arg.index = static_cast<uint32_t>(g.list_items.size());
    line.items("]", [&] { g.list_items.push_back(window_or_none(line)); });
    arg.count = static_cast<uint32_t>(g.list_items.size()) - arg.index;
    return arg;
  }
  arg.kind = Arg::Kind::kConst;
  if (line.take("\"")) {
    arg.value = line.quoted();
  } else if (line.take("i[")) {
    std::vector<int64_t> values;
    line.items("]", [&] { values.push_back(line.integer()); });
    arg.value = values;
  } else if (line.take("d[")) {
    std::vector<double> values;
    line.items("]", [&] { values.push_back(line.real()); });
    arg.value = values;
  } else if (line.take("b[")) {
    c10::List<bool> values;
    line.items("]", [&] { values.push_back(line.boolean()); });
    arg.value = values;
  } else if (line.take("device(")) {
    arg.value = c10::Device(line.word());
    line.expect(")");
  } else if (line.take("true")) {
    arg.value = true;
  } else if (line.take("false")) {
    arg.value = false;
  } else {
    const std::string word = line.word();
    char* end = nullptr;
    if (word.find_first_of(".en") == std::string::npos) {
      arg.value = static_cast<int64_t>(std::strtoll(word.c_str(), &end, 10));
    } else {
      arg.value = std::strtod(word.c_str(), &end);
    }
    line.check(*end == '\0', "expected an argument, got '" + word + "'");
  }
  return arg;
}

void parse_node(Line& line, Graph& g) {
  Node node;
  const std::string name = line.word();
  node.op = find_op(name);
  line.check(node.op != nullptr, "unknown op '" + name + "'");
  line.expect("(");
  line.items(")", [&] { node.args.push_back(parse_argument(line, g)); });
  line.expect("->");
  line.expect("(");
  line.items(")", [&] { node.writes.push_back(window_or_none(line)); });
  node.mutating = line.take("mutating");
  node.recomputed = line.take("recomputed");
  if (line.take("rng")) {
    node.rng = line.id("s");
  }
  g.nodes.push_back(std::move(node));
}

}  // namespace

Graph parse(std::string_view text) {
  Graph g;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    Line line(text.substr(0, end), ++number);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.at_end()) {
      continue;
    }
    if (line.take("buffer")) {
      parse_buffer(line, g);
    } else if (line.take("scalar")) {
      parse_scalar(line, g);
    } else if (line.take("window")) {
      parse_window(line, g);
    } else {
      line.check(line.take("node"), "expected buffer, scalar, window or node");
      parse_node(line, g);
    }
    line.check(line.at_end(), "unexpected text behind the statement");
  }
  return g;
}

}  // namespace torch_hpu::ir
