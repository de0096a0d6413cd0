// Modules, functions and training steps that capture themselves: the first call of a signature records a graph, later calls replay it.
#pragma once

#include <torch_hpu/hpu_graph.h>
#include <torch_hpu/static_inputs.h>

#include <bit>
#include <functional>
#include <list>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace torch_hpu {

namespace detail {

// A call's arguments, or its results, as one list of tensors; numbers and lengths become part of the signature.
struct Flat {
  std::vector<at::Tensor> tensors;
  std::vector<int64_t> structure;

  void add(const at::Tensor& tensor) {
    tensors.push_back(tensor);
  }
  void add(const std::vector<at::Tensor>& list) {
    structure.push_back(static_cast<int64_t>(list.size()));
    tensors.insert(tensors.end(), list.begin(), list.end());
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  void add(T value) {
    structure.push_back(std::bit_cast<int64_t>(static_cast<double>(value)));
  }
  template <typename A, typename B>
  void add(const std::pair<A, B>& pair) {
    add(pair.first);
    add(pair.second);
  }
  template <typename... T>
  void add(const std::tuple<T...>& tuple) {
    std::apply([&](const auto&... each) { (add(each), ...); }, tuple);
  }
};

// The arguments `like` with their tensors replaced, in order.
class Rebuild {
 public:
  explicit Rebuild(const std::vector<at::Tensor>& tensors) : next_(tensors.begin()) {}
  at::Tensor operator()(const at::Tensor&) {
    return *next_++;
  }
  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& like) {
    const auto first = next_;
    next_ += static_cast<std::ptrdiff_t>(like.size());
    return {first, next_};
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  T operator()(T value) {
    return value;
  }
  template <typename A, typename B>
  std::pair<A, B> operator()(const std::pair<A, B>& like) {
    return {(*this)(like.first), (*this)(like.second)};  // braces: left to right
  }
  template <typename... T>
  std::tuple<T...> operator()(const std::tuple<T...>& like) {
    return std::apply([&](const auto&... each) { return std::tuple<T...>{(*this)(each)...}; }, like);
  }

 private:
  std::vector<at::Tensor>::const_iterator next_;
};

// Results from the list of their tensors: a tensor, a vector of tensors, or a pair or tuple of tensors.
template <typename Result>
Result unflatten(const std::vector<at::Tensor>& tensors) {
  if constexpr (std::is_same_v<Result, std::vector<at::Tensor>>) {
    return tensors;
  } else if constexpr (std::is_same_v<Result, at::Tensor>) {
    return tensors.at(0);
  } else {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      static_assert((std::is_same_v<std::tuple_element_t<I, Result>, at::Tensor> && ...), "a result must hold tensors only");
      return Result{tensors.at(I)...};
    }(std::make_index_sequence<std::tuple_size_v<Result>>());
  }
}

// module->forward(...) or callable(...).
template <typename Module, typename... Inputs>
auto call(Module& module, const Inputs&... inputs) {
  if constexpr (std::is_invocable_v<Module&, const Inputs&...>) {
    return module(inputs...);
  } else {
    return module->forward(inputs...);
  }
}

}  // namespace detail

// Graphs by signature, at most max_graphs of them: the least recently used goes first. Inputs are copied into the graph's own tensors
// (and back, where the body writes them); results are fresh tensors. Parameters are read where they are. No autograd graph is built.
class TORCH_HPU_API GraphCache {
 public:
  using Body = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;
  explicit GraphCache(size_t max_graphs);
  ~GraphCache();
  GraphCache(GraphCache&&) noexcept;
  GraphCache& operator=(GraphCache&&) noexcept;

  // Captures `body` when the signature is new, then replays.
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs, const std::vector<int64_t>& structure, const Body& body);
  size_t size() const;
  void clear();

 private:
  struct Entry;
  size_t max_graphs_;
  std::list<Entry> entries_;  // most recently used first
};

// What wrap_in_hpu_graph() returns: called as the module or function is. Arguments: tensors, vectors of tensors, numbers (part of the
// signature), and pairs and tuples of these. Results: see unflatten().
template <typename Module>
class Graphed {
 public:
  Graphed(Module module, size_t max_graphs) : module_(std::move(module)), cache_(max_graphs) {}

  template <typename... Inputs>
  auto operator()(const Inputs&... inputs) {
    detail::Flat flat;
    (flat.add(inputs), ...);
    const auto body = [&](const std::vector<at::Tensor>& tensors) {
      detail::Rebuild rebuild(tensors);
      const std::tuple<Inputs...> arguments{rebuild(inputs)...};
      detail::Flat results;
      results.add(std::apply([&](const auto&... each) { return detail::call(module_, each...); }, arguments));
      return results.tensors;
    };
    return detail::unflatten<decltype(detail::call(module_, inputs...))>(cache_.run(flat.tensors, flat.structure, body));
  }

  size_t graphs() const {
    return cache_.size();
  }
  void clear() {
    cache_.clear();
  }

 private:
  Module module_;
  GraphCache cache_;
};

template <typename Module>
Graphed<Module> wrap_in_hpu_graph(Module module, size_t max_graphs = 10) {
  return {std::move(module), max_graphs};
}

// A whole training step (forward, backward, optimizer) as one graph. The first two calls run as they are (they make gradients and the
// optimizer's state), the next two are captured and run; from then on calls replay. A step whose captures are not alike cannot be replayed
// truthfully (an optimizer that counts its steps on the host: torch::optim::Adam): that throws and names the op. Inputs keep their
// signature; results are fresh tensors, detached.
class TORCH_HPU_API GraphedStep {
 public:
  using Body = GraphCache::Body;
  explicit GraphedStep(Body body);
  ~GraphedStep();
  GraphedStep(GraphedStep&&) noexcept;

  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& inputs);
  bool replays() const;  // whether the next call replays

 private:
  struct State;
  std::unique_ptr<State> state_;
};

TORCH_HPU_API GraphedStep make_graphed_step(GraphedStep::Body body);

}  // namespace torch_hpu
