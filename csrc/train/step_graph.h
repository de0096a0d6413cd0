// What keeps the number of graphs of a training run small: a part of the step that is captured as the very program that its first run was, and
// values that the host puts into the device's memory, for which there is nothing to compile.
#pragma once

#include <torch_hpu/graph_call.h>
#include <torch_hpu/graphed.h>

#include <memory>
#include <vector>

namespace torch_hpu::train {

// 0-dim float32.
at::Tensor device_number(double value, c10::Device device);
// As at::zeros_like().
at::Tensor device_zeros_like(const at::Tensor& t);

// A part of the training step as an HPU Graph. The first call runs the body as it is (modules make what they keep), the next two are captured and
// compared: a body that changes from call to call throws; from then on calls replay. All of them are one program, if the body works in place on
// tensors that exist before the first call. Inputs of other shapes than these calls' run as they are; shapes
// that come once, before any that come twice in a row, are forgotten.
class StepGraph {
 public:
  explicit StepGraph(GraphCache::Body body);

  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& inputs);

 private:
  std::vector<at::Tensor> run(const std::vector<at::Tensor>& inputs) const;
  void capture(const std::vector<at::Tensor>& inputs);

  GraphCache::Body body_;
  c10::Stream stream_;  // of captures
  std::vector<int64_t> signature_;
  int calls_ = 0;
  std::unique_ptr<HPUGraph> graph_;
  std::unique_ptr<GraphCall> call_;
};

}  // namespace torch_hpu::train
