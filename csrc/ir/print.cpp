#include <iomanip>
#include <sstream>

#include "csrc/ir/op.h"
#include "csrc/ir/text.h"

namespace torch_hpu::ir {
namespace {

template <typename List>
std::string list(const char* open, const List& values) {
  std::ostringstream out;
  out << std::setprecision(17) << std::boolalpha << open;
  const char* separator = "";
  for (const auto& v : values) {
    out << separator << v;
    separator = ", ";
  }
  out << ']';
  return out.str();
}

std::string number(double d) {
  std::ostringstream out;
  out << std::setprecision(17) << d;
  std::string s = out.str();
  if (s.find_first_of(".en") == std::string::npos) {  // 2 is an integer, 2.0 a float; inf and nan speak for themselves
    s += ".0";
  }
  return s;
}

std::string constant(const c10::IValue& v) {
  if (v.isInt()) {
    return std::to_string(v.toInt());
  }
  if (v.isDouble()) {
    return number(v.toDouble());
  }
  if (v.isBool()) {
    return v.toBool() ? "true" : "false";
  }
  if (v.isString()) {
    return '"' + v.toStringRef() + '"';
  }
  if (v.isIntList()) {
    return list("i[", v.toIntVector());
  }
  if (v.isDoubleList()) {
    return list("d[", v.toDoubleVector());
  }
  if (v.isBoolList()) {
    const auto bools = v.toBoolList();
    return list("b[", std::vector<bool>(bools.begin(), bools.end()));
  }
  if (v.isDevice()) {
    return "device(" + v.toDevice().str() + ")";
  }
  TORCH_CHECK_NOT_IMPLEMENTED(false, "[ir] no text for a constant of type ", v.tagKind());
}

std::string window(WindowId w) {
  return w == kNone ? "none" : "w" + std::to_string(w);
}

std::string argument(const Graph& g, const Arg& arg) {
  switch (arg.kind) {
    case Arg::Kind::kNone:
      return "none";
    case Arg::Kind::kWindow:
      return window(arg.index) + (arg.wrapped ? "!" : "");
    case Arg::Kind::kWindowList: {
      std::vector<std::string> items;
      for (uint32_t k = 0; k < arg.count; ++k) {
        items.push_back(window(g.list_items[arg.index + k]));
      }
      return list("[", items);
    }
    case Arg::Kind::kScalar:
      return "s" + std::to_string(arg.index);
    case Arg::Kind::kScalarTensor:
      return "s" + std::to_string(arg.index) + ":" + c10::toString(arg.dtype) + (arg.wrapped ? "!" : "");
    case Arg::Kind::kConst:
      return constant(arg.value);
  }
  return "";
}

template <typename F>
std::string tuple(size_t n, F item) {
  std::string s = "(";
  for (size_t i = 0; i < n; ++i) {
    s += (i == 0 ? "" : ", ") + item(i);
  }
  return s + ")";
}

}  // namespace

std::string to_string(const Buffer& buffer) {
  const bool local = buffer.kind == BufferKind::kLocal;
  return std::to_string(buffer.nbytes) + (local ? " local" : " input") + (local && buffer.observable ? " observable" : "") +
         (buffer.written ? " written" : "");
}

std::string to_string(const Window& v) {
  std::ostringstream out;
  out << 'b' << v.buffer << ' ' << c10::toString(v.dtype) << ' ' << list("[", v.sizes) << ' ' << list("[", v.strides) << " @" << v.offset
      << (v.conj ? " conj" : "") << (v.neg ? " neg" : "");
  return out.str();
}

std::string to_string(const Graph& g, const Node& node) {
  std::string s = node.op->name + ' ' + tuple(node.args.size(), [&](size_t i) { return argument(g, node.args[i]); }) + " -> " +
                  tuple(node.writes.size(), [&](size_t i) { return window(node.writes[i]); });
  s += node.mutating ? " mutating" : "";
  s += node.recomputed ? " recomputed" : "";
  return node.rng == kNone ? s : s + " rng s" + std::to_string(node.rng);
}

std::string to_string(const Graph& g) {
  std::ostringstream out;
  for (size_t b = 0; b < g.buffers.size(); ++b) {
    out << "buffer b" << b << ' ' << to_string(g.buffers[b]) << '\n';
  }
  for (size_t s = 0; s < g.scalars.size(); ++s) {
    const Scalar& scalar = g.scalars[s];
    out << "scalar s" << s << ' ';
    switch (scalar.category) {
      case ScalarCategory::kBool:
        out << "bool " << (scalar.value.i != 0 ? "true" : "false");
        break;
      case ScalarCategory::kInt:
        out << "int " << scalar.value.i;
        break;
      case ScalarCategory::kFloat:
        out << "float " << number(scalar.value.d);
        break;
      case ScalarCategory::kComplex:
        out << "complex " << number(scalar.value.d) << ' ' << number(scalar.value.imag);
        break;
    }
    out << '\n';
  }
  for (size_t w = 0; w < g.windows.size(); ++w) {
    out << "window w" << w << ' ' << to_string(g.windows[w]) << '\n';
  }
  for (const Node& node : g.nodes) {
    out << "node " << to_string(g, node) << '\n';
  }
  return out.str();
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
