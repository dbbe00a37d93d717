// Module entry, error translation and value conversion between JavaScript and libtorch.
#include "engine.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <sstream>

namespace mahalo {

Engine& engineOf(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Engine*>(data);
}

void check(napi_status status, const char* what) {
  if (status != napi_ok) throw BadArgument(std::string("expected ") + what);
}

napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

napi_value text(napi_env env, const std::string& value) {
  napi_value result;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

napi_value boolean(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value null(napi_env env) {
  napi_value result;
  napi_get_null(env, &result);
  return result;
}

double readNumber(napi_env env, napi_value value, const char* what) {
  double result;
  if (napi_get_value_double(env, value, &result) == napi_ok) return result;
  int64_t big;
  bool lossless;
  check(napi_get_value_bigint_int64(env, value, &big, &lossless), what);
  return static_cast<double>(big);
}

bool readBoolean(napi_env env, napi_value value, const char* what) {
  bool result;
  check(napi_get_value_bool(env, value, &result), what);
  return result;
}

std::string readText(napi_env env, napi_value value, const char* what) {
  size_t length;
  check(napi_get_value_string_utf8(env, value, nullptr, 0, &length), what);
  std::string result(length, '\0');
  check(napi_get_value_string_utf8(env, value, result.data(), length + 1, &length), what);
  return result;
}

napi_valuetype kindOf(napi_env env, napi_value value) {
  napi_valuetype kind;
  check(napi_typeof(env, value, &kind), "a value");
  return kind;
}

bool isMissing(napi_env env, napi_value value) {
  const auto kind = kindOf(env, value);
  return kind == napi_undefined || kind == napi_null;
}

void eachElement(napi_env env, napi_value array, const char* what, const Element& each) {
  uint32_t length;
  check(napi_get_array_length(env, array, &length), what);
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    check(napi_get_element(env, array, i, &element), what);
    each(element);
  }
}

namespace {
bool isArray(napi_env env, napi_value value) {
  bool result = false;
  napi_is_array(env, value, &result);
  return result;
}
}  // namespace

std::vector<double> readNumbers(napi_env env, napi_value value, const char* what) {
  if (!isArray(env, value)) return {readNumber(env, value, what)};
  std::vector<double> result;
  eachElement(env, value, what, [&](napi_value element) { result.push_back(readNumber(env, element, what)); });
  return result;
}

int64_t readInt(napi_env env, napi_value value, const char* what) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    int64_t big;
    bool lossless;
    check(napi_get_value_bigint_int64(env, value, &big, &lossless), what);
    if (!lossless) throw BadArgument(std::string("expected ") + what + ", got one of more than 64 bits");
    return big;
  }
  if (number != std::floor(number) || !(std::abs(number) <= 9007199254740992.0)) {
    throw BadArgument(std::string("expected ") + what + ", got a number that is not an integer of at most 2^53");
  }
  return static_cast<int64_t>(number);
}

uint64_t readSeed(napi_env env, napi_value value) {
  const double seed = readNumber(env, value, "a seed");
  if (!(seed >= 0 && seed <= 9007199254740992.0) || seed != std::floor(seed)) {
    throw BadArgument("expected a seed from 0 to 2^53, without fraction");
  }
  return static_cast<uint64_t>(seed);
}

std::vector<int64_t> readInts(napi_env env, napi_value value, const char* what) {
  if (!isArray(env, value)) return {readInt(env, value, what)};
  std::vector<int64_t> result;
  eachElement(env, value, what, [&](napi_value element) { result.push_back(readInt(env, element, what)); });
  return result;
}

Bytes readBytes(napi_env env, napi_value value) {
  napi_typedarray_type type;
  size_t length, offset;
  napi_value buffer;
  Bytes bytes;
  check(napi_get_typedarray_info(env, value, &type, &length, &bytes.data, &buffer, &offset), "a typed array");
  static constexpr size_t kWidths[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  if (static_cast<size_t>(type) >= std::size(kWidths)) throw BadArgument("this kind of typed array is not supported");
  bytes.size = length * kWidths[type];
  return bytes;
}

namespace {
struct DtypeName {
  const char* name;
  at::ScalarType type;
};
constexpr DtypeName kDtypes[] = {
    {"float32", at::kFloat}, {"float64", at::kDouble}, {"float16", at::kHalf}, {"bfloat16", at::kBFloat16},
    {"int8", at::kChar},     {"uint8", at::kByte},     {"int16", at::kShort},  {"int32", at::kInt},
    {"int64", at::kLong},    {"bool", at::kBool},
};
}  // namespace

at::ScalarType readDtype(napi_env env, napi_value value) {
  const auto name = readText(env, value, "a dtype name");
  for (const auto& known : kDtypes) {
    if (name == known.name) return known.type;
  }
  throw BadArgument("unknown dtype \"" + name + "\"");
}

const char* dtypeName(at::ScalarType type) {
  for (const auto& known : kDtypes) {
    if (type == known.type) return known.name;
  }
  return c10::toString(type);
}

std::vector<at::Tensor> readTensors(napi_env env, napi_value value, const char* what) {
  auto& table = engineOf(env).tensors;
  std::vector<at::Tensor> result;
  for (const double handle : readNumbers(env, value, what)) result.push_back(table.get(handle, "tensor"));
  return result;
}

napi_value tensorNumber(napi_env env, at::Tensor tensor) {
  if (!tensor.defined()) return null(env);
  return number(env, engineOf(env).tensors.put(std::move(tensor)));
}

napi_value tensorNumbers(napi_env env, const std::vector<at::Tensor>& tensors) {
  napi_value result;
  napi_create_array_with_length(env, tensors.size(), &result);
  for (size_t i = 0; i < tensors.size(); ++i) napi_set_element(env, result, i, tensorNumber(env, tensors[i]));
  return result;
}

std::string shapeText(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  std::ostringstream out;
  out << dtypeName(tensor.scalar_type()) << tensor.sizes();
  return out.str();
}

Arguments::Arguments(napi_env env, napi_callback_info info) {
  check(napi_get_cb_info(env, info, &count, values, nullptr, nullptr), "arguments");
  if (count > kMost) throw BadArgument("too many arguments");
}

bool Arguments::has(napi_env env, size_t i) const {
  return i < count && !isMissing(env, values[i]);
}

napi_value raise(napi_env env, const std::string& where) {
  std::string code = "E_TORCH", message;
  try {
    throw;
  } catch (const BadArgument& error) {
    code = "E_TORCH_ARGUMENT";
    message = error.what();
  } catch (const c10::OutOfMemoryError& error) {
    code = "E_TORCH_MEMORY";
    message = error.what_without_backtrace();
  } catch (const c10::Error& error) {
    message = error.what_without_backtrace();
  } catch (const std::bad_alloc&) {
    code = "E_TORCH_MEMORY";
    message = "out of memory";
  } catch (const std::exception& error) {
    message = error.what();
  } catch (...) {
    message = "unknown native exception";
  }
  if (message.find("DefaultCPUAllocator: can't allocate memory") != std::string::npos) code = "E_TORCH_MEMORY";
  // libtorch appends its own stack to some messages; the first paragraph says what happened.
  const auto stack = message.find("\nException raised from");
  if (stack != std::string::npos) message.resize(stack);
  napi_value factory, error, arguments[2] = {text(env, code), text(env, where + ": " + message)};
  auto& engine = engineOf(env);
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (pending) return nullptr;
  if (engine.errorFactory != nullptr &&
      napi_get_reference_value(env, engine.errorFactory, &factory) == napi_ok &&
      napi_call_function(env, null(env), factory, 2, arguments, &error) == napi_ok) {
    napi_throw(env, error);
  } else {
    napi_throw_error(env, code.c_str(), (where + ": " + message).c_str());
  }
  return nullptr;
}

void define(napi_env env, napi_value exports, const char* name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  napi_set_named_property(env, exports, name, function);
}

namespace {
napi_value setErrorFactory(napi_env env, napi_callback_info info) {
  return guarded(env, "setErrorFactory", [&]() -> napi_value {
    Arguments args(env, info);
    check(napi_create_reference(env, args[0], 1, &engineOf(env).errorFactory), "a function");
    return nullptr;
  });
}

/// Keeps freed memory for the next step instead of giving it back to the system, which would hand out every page anew,
/// zeroed: a training step frees and takes gigabytes. Settings of the user's own (mallopt(3)) are left as they are.
void keepFreedMemory() {
#ifdef __GLIBC__
  for (const char* name : {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"}) {
    if (std::getenv(name) != nullptr) return;
  }
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
}
}  // namespace

}  // namespace mahalo

NAPI_MODULE_INIT() {
  static std::once_flag once;
  std::call_once(once, mahalo::keepFreedMemory);
  auto* engine = new mahalo::Engine();
  napi_set_instance_data(
      env, engine, [](napi_env, void* data, void*) { delete static_cast<mahalo::Engine*>(data); }, nullptr);
  mahalo::define(env, exports, "setErrorFactory", mahalo::setErrorFactory);
  mahalo::defineOperators(env, exports);
  mahalo::defineTensors(env, exports);
  mahalo::defineAutograd(env, exports);
  mahalo::defineRuntime(env, exports);
  return exports;
}
