# As much of a torch 2.12.0 as the version checks look at.
set(TORCH_INSTALL_PREFIX ${CMAKE_CURRENT_LIST_DIR})
