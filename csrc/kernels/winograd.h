// Convolution of 3x3 with stride 1 by minimal filtering: 36 multiplications where the definition takes 144.
#pragma once

#include <c10/util/ArrayRef.h>

#include <vector>

#include "csrc/kernels/library.h"

namespace torch_hpu::kernels {

// Note [Winograd]
// F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015): tiles of 6x6 inputs, which overlap by two, are
// evaluated as polynomials at six points in each direction, so are the weights; the products summed over the channels are 36 matrix products; the
// values of the product polynomials give 4x4 outputs. The points are 0, +-5/8, +-3/2 and infinity instead of the paper's 0, +-1, +-2: sums over 320
// channels then have 1.5 times the error of direct fp32 sums instead of 3 times. Transformed weights would take four times the memory of plain ones, so
// they are made on the way, for one panel of outputs at a time, from a copy in which outputs are neighbours. An infinity or NaN among the inputs
// reaches all outputs of the tiles that it lies in.
class Winograd {
 public:
  struct Problem {
    int64_t images, in_channels, out_channels, height, width, out_height, out_width, pad_top, pad_left;
    int64_t weight_row;  // floats from one output channel's [in, 3, 3] weights, which are dense, to the next
    std::vector<PostOp> post_ops;
    std::vector<bool> per_channel;  // of the post-ops that read a tensor: one value per channel; else of the shape of out
  };

  // Nothing, also where the problem cannot be computed this way; something on some machines, for so few tiles that transforming the weights costs most;
  // much on all.
  enum class Gain : uint8_t { kNone, kSome, kMuch };
  static Gain gain(const Problem& problem);

  explicit Winograd(Problem problem);

  // Floats of the weights in the order that run() likes, and the copying.
  size_t packed_floats() const;
  void pack(const float* weights, float* packed) const;

  struct Weights {
    const float* data;
    bool packed;  // by pack()
  };

  // src, dst and tensors of post-ops lie channels-last, densely. bias: one per output channel, or null.
  void run(const float* src, Weights weights, float* dst, const float* bias, c10::ArrayRef<const float*> operands) const;

 private:
  struct Run;
  struct Block;
  void pack_panel(const float* weights, int64_t k0, float* packed) const;
  void transform_inputs(const Run& run, const Block& block) const;
  void multiply(const Run& run, const Block& block, int64_t k0) const;

  Problem problem_;
  int64_t down_, across_;  // tiles of an image
};

}  // namespace torch_hpu::kernels
