// oneDNN as the kernels use it: one engine, primitives whose memory is bound at each run, workspace per thread.
#pragma once

#include <dnnl.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "csrc/kernels/library.h"

namespace torch_hpu::kernels::onednn {

dnnl::engine& engine();
dnnl::stream& stream();  // of this thread

dnnl::memory::data_type data_type(c10::ScalarType t);  // float, bfloat16, half

// Whether matrix products, convolutions and their backwards exist for a dtype on this machine.
bool has_dtype(c10::ScalarType t);

// A descriptor by sizes and strides; strides of dims of size 1 are chosen so that the layout is recognised as plain or channels-last.
dnnl::memory::desc desc(c10::IntArrayRef sizes, c10::IntArrayRef strides, c10::ScalarType dtype);
// The same for matrix products, which look at the strides of dims of size 1: they get the one of a dense tensor.
dnnl::memory::desc product_desc(c10::IntArrayRef sizes, c10::IntArrayRef strides, dnnl::memory::data_type dtype);
dnnl::memory::desc any(c10::IntArrayRef sizes, c10::ScalarType dtype);

// oneDNN generates the kernels of its sgemm at the first call, all of them, which takes some 30 ms. This starts it on a thread of its own, once, so
// that a convolution that is made of products finds them when it first runs. wait: until they are there.
void prepare_sgemm(bool wait);

// By impl_info_str(): whether a primitive is made of that sgemm, and whether it is plain loops, many times slower than anything else.
bool uses_sgemm(std::string_view implementation);
bool is_reference(std::string_view implementation);

// Appends what oneDNN does itself. False: it cannot.
bool append_post_op(dnnl::post_ops& ops, const PostOp& post_op, const dnnl::memory::desc* operand);

// Attributes that every primitive has: workspace from outside, these post-ops.
dnnl::primitive_attr attributes(const dnnl::post_ops& ops = {});

// A primitive with its arguments in a fixed order. run() may be called by any number of threads.
class Primitive {
 public:
  struct Argument {
    int id;  // DNNL_ARG_...
    dnnl::memory::desc desc;
  };
  Primitive(const dnnl::primitive& primitive, std::vector<Argument> arguments, const dnnl::memory::desc& scratchpad);
  ~Primitive();
  Primitive(const Primitive&) = delete;
  Primitive& operator=(const Primitive&) = delete;

  // One address per argument.
  void run(c10::ArrayRef<const void*> addresses) const;

 private:
  // Memory objects are reused between runs: a run takes a free set, or makes one.
  struct Binding {
    std::vector<dnnl::memory> memories;
    std::vector<dnnl_exec_arg_t> arguments;
  };
  std::unique_ptr<Binding> take() const;
  void give_back(std::unique_ptr<Binding> binding) const;

  dnnl::primitive primitive_;
  std::vector<Argument> arguments_;
  dnnl::memory::desc scratchpad_;
  mutable std::array<std::atomic<Binding*>, 4> free_{};
};

// Copies src to dst, changing the layout.
class Reorder {
 public:
  Reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to);
  void run(const void* from, void* to) const;

 private:
  std::unique_ptr<Primitive> primitive_;
};

}  // namespace torch_hpu::kernels::onednn
