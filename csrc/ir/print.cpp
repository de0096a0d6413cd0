#include <charconv>
#include <sstream>
#include <string_view>

#include "csrc/ir/op.h"
#include "csrc/ir/text.h"

namespace torch_hpu::ir {
namespace {

// Everything is appended to one string: the text of a whole graph is the key of its program on disk, made before anything else can happen.
void put(std::string& out, int64_t n) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, n).ptr);
}

void put(std::string& out, std::string_view name, uint32_t id) {
  out += name;
  put(out, static_cast<int64_t>(id));
}

// 2 is an integer, 2.0 a float; inf and nan speak for themselves.
void put(std::string& out, double d) {
  char buffer[32];
  const char* const end = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::general, 17).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  out += text;
  out += text.find_first_of(".en") == text.npos ? ".0" : "";
}

void put(std::string& out, bool b) {
  out += b ? "true" : "false";
}

// item(i) puts the i-th.
template <typename F>
void put_list(std::string& out, std::string_view open, std::string_view close, size_t n, F item) {
  out += open;
  for (size_t i = 0; i < n; ++i) {
    out += i == 0 ? "" : ", ";
    item(i);
  }
  out += close;
}

template <typename List>
void put_list(std::string& out, std::string_view open, const List& values) {
  put_list(out, open, "]", values.size(), [&](size_t i) { put(out, values[i]); });
}

void put_constant(std::string& out, const c10::IValue& v) {
  if (v.isInt()) {
    put(out, v.toInt());
  } else if (v.isDouble()) {
    put(out, v.toDouble());
  } else if (v.isBool()) {
    put(out, v.toBool());
  } else if (v.isString()) {
    TORCH_CHECK_NOT_IMPLEMENTED(v.toStringRef().find_first_of("\"\n") == std::string::npos, "[ir] no text for the string ",
                                v.toStringRef());
    out += '"' + v.toStringRef() + '"';
  } else if (v.isIntList()) {
    put_list(out, "i[", v.toIntVector());
  } else if (v.isDoubleList()) {
    put_list(out, "d[", v.toDoubleVector());
  } else if (v.isBoolList()) {
    const auto bools = v.toBoolList();
    put_list(out, "b[", std::vector<bool>(bools.begin(), bools.end()));
  } else if (v.isDevice()) {
    out += "device(" + v.toDevice().str() + ")";
  } else {
    TORCH_CHECK_NOT_IMPLEMENTED(false, "[ir] no text for a constant of type ", v.tagKind());
  }
}

void put_window(std::string& out, WindowId w) {
  if (w == kNone) {
    out += "none";
  } else {
    put(out, "w", w);
  }
}

void put_argument(std::string& out, const Graph& g, const Arg& arg) {
  switch (arg.kind) {
    case Arg::Kind::kNone:
      out += "none";
      return;
    case Arg::Kind::kWindow:
      put_window(out, arg.index);
      break;
    case Arg::Kind::kWindowList:
      put_list(out, "[", "]", arg.count, [&](size_t i) { put_window(out, g.list_items[arg.index + i]); });
      return;
    case Arg::Kind::kScalar:
      put(out, "s", arg.index);
      return;
    case Arg::Kind::kScalarTensor:
      put(out, "s", arg.index);
      out += ':';
      out += c10::toString(arg.dtype);
      break;
    case Arg::Kind::kConst:
      put_constant(out, arg.value);
      return;
  }
  out += arg.wrapped ? "!" : "";
}

void put(std::string& out, const Buffer& buffer) {
  const bool local = buffer.kind == BufferKind::kLocal;
  put(out, buffer.nbytes);
  out += local ? " local" : " input";
  out += local && buffer.observable ? " observable" : "";
  out += buffer.written ? " written" : "";
}

void put(std::string& out, const Window& v) {
  put(out, "b", v.buffer);
  out += ' ';
  out += c10::toString(v.dtype);
  put_list(out, " [", v.sizes);
  put_list(out, " [", v.strides);
  out += " @";
  put(out, v.offset);
  out += v.conj ? " conj" : "";
  out += v.neg ? " neg" : "";
}

void put(std::string& out, const Graph& g, const Node& node) {
  out += node.op->name;
  put_list(out, " (", ")", node.args.size(), [&](size_t i) { put_argument(out, g, node.args[i]); });
  put_list(out, " -> (", ")", node.writes.size(), [&](size_t i) { put_window(out, node.writes[i]); });
  out += node.mutating ? " mutating" : "";
  out += node.recomputed ? " recomputed" : "";
  if (node.rng != kNone) {
    put(out, " rng s", node.rng);
  }
}

void put_scalar(std::string& out, const Scalar& scalar, bool values) {
  constexpr std::string_view kNames[] = {"bool", "int", "float", "complex"};  // by category
  out += kNames[static_cast<size_t>(scalar.category)];
  if (!values) {
    return;
  }
  out += ' ';
  switch (scalar.category) {
    case ScalarCategory::kBool:
      put(out, scalar.value.i != 0);
      break;
    case ScalarCategory::kInt:
      put(out, scalar.value.i);
      break;
    case ScalarCategory::kFloat:
      put(out, scalar.value.d);
      break;
    case ScalarCategory::kComplex:
      put(out, scalar.value.d);
      out += ' ';
      put(out, scalar.value.imag);
      break;
  }
}

std::string text_of(const Graph& g, bool values) {
  std::string out;
  for (size_t b = 0; b < g.buffers.size(); ++b) {
    put(out, "buffer b", static_cast<uint32_t>(b));
    out += ' ';
    put(out, g.buffers[b]);
    out += '\n';
  }
  for (size_t s = 0; s < g.scalars.size(); ++s) {
    put(out, "scalar s", static_cast<uint32_t>(s));
    out += ' ';
    put_scalar(out, g.scalars[s], values);
    out += '\n';
  }
  for (size_t w = 0; w < g.windows.size(); ++w) {
    put(out, "window w", static_cast<uint32_t>(w));
    out += ' ';
    put(out, g.windows[w]);
    out += '\n';
  }
  for (const Node& node : g.nodes) {
    out += "node ";
    put(out, g, node);
    out += '\n';
  }
  return out;
}

}  // namespace

std::string to_string(const Graph& graph) {
  return text_of(graph, true);
}

std::string structure_of(const Graph& graph) {
  return text_of(graph, false);
}

std::string to_string(const Buffer& buffer) {
  std::string out;
  put(out, buffer);
  return out;
}

std::string to_string(const Window& window) {
  std::string out;
  put(out, window);
  return out;
}

std::string to_string(const Graph& graph, const Node& node) {
  std::string out;
  put(out, graph, node);
  return out;
}

std::string to_dot(const Graph& g) {
  std::ostringstream out;
  out << "digraph graph_ {\n";
  for (size_t b = 0; b < g.buffers.size(); ++b) {
    out << "  b" << b << " [shape=box, label=\"b" << b << "\\n"
        << g.buffers[b].nbytes << " bytes" << (g.buffers[b].kind == BufferKind::kInput ? "\\ninput" : "") << "\"];\n";
  }
  for (size_t n = 0; n < g.nodes.size(); ++n) {
    const Node& node = g.nodes[n];
    out << "  n" << n << " [label=\"" << node.op->name << "\"];\n";
    for (const Arg& arg : node.args) {
      if (arg.kind == Arg::Kind::kWindow) {
        out << "  b" << g.windows[arg.index].buffer << " -> n" << n << ";\n";
      } else if (arg.kind == Arg::Kind::kWindowList) {
        for (uint32_t k = 0; k < arg.count; ++k) {
          if (g.list_items[arg.index + k] != kNone) {
            out << "  b" << g.windows[g.list_items[arg.index + k]].buffer << " -> n" << n << ";\n";
          }
        }
      }
    }
    for (WindowId w : node.writes) {
      if (w != kNone) {
        out << "  n" << n << " -> b" << g.windows[w].buffer << ";\n";
      }
    }
  }
  out << "}\n";
  return out.str();
}

}  // namespace torch_hpu::ir
