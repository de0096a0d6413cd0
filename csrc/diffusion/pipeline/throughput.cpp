// Throughput of a generation, without its warm-up.
#include <c10/util/Exception.h>
#include <torch_hpu/diffusion_loop.h>

namespace torch_hpu {

ThroughputClock::ThroughputClock(int64_t batches, int64_t batch_size, int64_t steps, int64_t warmup_steps)
    : batches_(batches), batch_size_(batch_size), steps_(steps), warmup_(warmup_steps) {
  TORCH_CHECK(batches > 0 && batch_size > 0 && steps > 0 && warmup_steps >= 0, "sizes of a generation are wrong: got ", batches,
              " batches of ", batch_size, " with ", steps, " steps and ", warmup_steps,
              " warm-up steps, expected positive numbers and a warm-up of at least 0");
  case_ = batches > warmup_ ? Case::kBatches : steps > warmup_ ? Case::kSteps : Case::kAll;
}

bool ThroughputClock::needs_sync(int64_t batch, int64_t step) const {
  switch (case_) {
    case Case::kBatches:
      return step == 0 && batch == warmup_;
    case Case::kSteps:
      return step == 0 || step == warmup_;
    default:
      return step == 0 && batch == 0;
  }
}

void ThroughputClock::before_step(int64_t batch, int64_t step, double seconds) {
  if (step == 0) {  // the device is idle: the batch before has been decoded
    batch_ = batch;
    batch_start_ = seconds;
  }
  if (!needs_sync(batch, step)) {
    return;
  }
  if (case_ != Case::kSteps || (batch == 0 && step == 0)) {
    start_ = seconds;
  }
  if (step == warmup_) {
    warm_ = seconds;
  }
}

void ThroughputClock::after_denoising(double seconds) {
  const int64_t left_out = case_ == Case::kSteps ? warmup_ : 0;
  if (case_ != Case::kBatches || batch_ >= warmup_) {
    counted_seconds_ += seconds - (left_out > 0 ? warm_ : batch_start_);
    counted_steps_ += steps_ - left_out;
  }
  if (case_ != Case::kSteps) {
    return;
  }
  const double average = (seconds - warm_) / static_cast<double>(steps_ - warmup_);
  excluded_ += (warm_ - batch_start_) - average * static_cast<double>(warmup_);
}

DiffusionThroughput ThroughputClock::finish(double seconds) const {
  DiffusionThroughput result;
  result.runtime_seconds = seconds - start_ - excluded_;
  const auto samples = static_cast<double>((case_ == Case::kBatches ? batches_ - warmup_ : batches_) * batch_size_);
  if (result.runtime_seconds > 0) {
    result.samples_per_second = samples / result.runtime_seconds;
    result.steps_per_second = samples * static_cast<double>(steps_) / result.runtime_seconds;
  }
  if (counted_steps_ > 0) {
    result.step_seconds = counted_seconds_ / static_cast<double>(counted_steps_);
  }
  return result;
}

}  // namespace torch_hpu
