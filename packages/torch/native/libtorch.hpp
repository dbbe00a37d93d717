// All of libtorch that the sources use. None includes it: set-up compiles it once, ahead of them, for reading libtorch's
// headers takes longer than most of them do (scripts/setup/addon.mjs).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>
