// State of the addon in one JavaScript environment, and the conversions that its files share.
#pragma once
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <node_api.h>

#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "table.hpp"

namespace mahalo {

/// One operator, resolved once; `writes` when all its results are arguments written in place.
struct Operator {
  c10::OperatorHandle handle;
  std::string name;
  bool writes;
};

struct Engine {
  Table<at::Tensor> tensors;
  Table<at::Generator> generators;
  /// A deque, for a call in progress holds a pointer to its operator.
  std::deque<Operator> operators;
  std::unordered_map<std::string, uint32_t> operatorIds;
  napi_ref errorFactory = nullptr;
};

Engine& engineOf(napi_env env);

/// Throws BadArgument when a Node-API call fails, naming what was being read.
void check(napi_status status, const char* what);

napi_value number(napi_env env, double value);
napi_value text(napi_env env, const std::string& value);
napi_value boolean(napi_env env, bool value);
napi_value null(napi_env env);

double readNumber(napi_env env, napi_value value, const char* what);
bool readBoolean(napi_env env, napi_value value, const char* what);
std::string readText(napi_env env, napi_value value, const char* what);
int64_t readInt(napi_env env, napi_value value, const char* what);
uint64_t readSeed(napi_env env, napi_value value);
std::vector<int64_t> readInts(napi_env env, napi_value value, const char* what);
std::vector<double> readNumbers(napi_env env, napi_value value, const char* what);
at::ScalarType readDtype(napi_env env, napi_value value);
const char* dtypeName(at::ScalarType type);
std::vector<at::Tensor> readTensors(napi_env env, napi_value value, const char* what);
napi_value tensorNumbers(napi_env env, const std::vector<at::Tensor>& tensors);
napi_value tensorNumber(napi_env env, at::Tensor tensor);
std::string shapeText(const at::Tensor& tensor);

/// Bytes of a typed array, without a copy.
struct Bytes {
  void* data = nullptr;
  size_t size = 0;
};
Bytes readBytes(napi_env env, napi_value value);

using Element = std::function<void(napi_value)>;

/// Calls `each` for every element of a JavaScript array; getters that throw come through as their own exception.
void eachElement(napi_env env, napi_value array, const char* what, const Element& each);

napi_valuetype kindOf(napi_env env, napi_value value);
bool isMissing(napi_env env, napi_value value);

/// Arguments of a call; at most 24, more are an error.
struct Arguments {
  static constexpr size_t kMost = 24;
  napi_value values[kMost];
  size_t count = kMost;
  Arguments(napi_env env, napi_callback_info info);
  napi_value operator[](size_t i) const { return values[i]; }
  bool has(napi_env env, size_t i) const;
};

/// Turns the exception in flight into a JavaScript error made by the registered factory.
napi_value raise(napi_env env, const std::string& where);

/// Runs a native function body so that no C++ exception ever crosses into JavaScript.
template <typename Body>
napi_value guarded(napi_env env, const char* where, Body body) {
  try {
    return body();
  } catch (...) {
    return raise(env, where);
  }
}

void defineOperators(napi_env env, napi_value exports);
void defineTensors(napi_env env, napi_value exports);
void defineAutograd(napi_env env, napi_value exports);
void defineRuntime(napi_env env, napi_value exports);
void define(napi_env env, napi_value exports, const char* name, napi_callback callback);

}  // namespace mahalo
