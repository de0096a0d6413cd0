// Note [Teams of OpenMP threads]
// Every thread that runs parallel regions gets a team of OpenMP threads, which stays with it. libgomp's threads wait for the next region by spinning,
// but when all teams together have more threads than the machine has cores they go to sleep at once, and every region begins with waking them: that is a
// fifth of the time of a network whose kernels are short. The thread of the program and a stream's worker both compute, so there are easily two
// teams. Therefore a caller that waits at once computes itself (stream_queue.cpp), and a thread that has nothing to compute gives its team back. A new
// one costs 50 us, and 5 ms in a virtual machine whose scheduler is slow to spread threads: it must not happen at every step.
#pragma once

namespace torch_hpu {

// Ends the team of the calling thread, if it has one. The next parallel region makes a new one.
void release_team();

}  // namespace torch_hpu
