// The boxed operator call: any ATen operator by name, its arguments converted by the operator's own schema.
#include <cmath>
#include <sstream>

#include "engine.hpp"

namespace mahalo {
namespace {

using c10::IValue;
using c10::TypeKind;

napi_valuetype kindOf(napi_env env, napi_value value) {
  napi_valuetype kind;
  napi_typeof(env, value, &kind);
  return kind;
}

c10::Scalar toScalar(napi_env env, napi_value value) {
  switch (kindOf(env, value)) {
    case napi_boolean: return c10::Scalar(readBoolean(env, value, "a boolean"));
    case napi_bigint: return c10::Scalar(static_cast<int64_t>(readNumber(env, value, "an integer")));
    default: {
      const double number = readNumber(env, value, "a number");
      // A JavaScript number has no type of its own: whole ones act as integers, as in Python's x + 1.
      if (std::floor(number) == number && std::abs(number) < 9007199254740992.0 && !(number == 0 && std::signbit(number))) {
        return c10::Scalar(static_cast<int64_t>(number));
      }
      return c10::Scalar(number);
    }
  }
}

at::MemoryFormat toMemoryFormat(const std::string& name) {
  if (name == "contiguous") return at::MemoryFormat::Contiguous;
  if (name == "preserve") return at::MemoryFormat::Preserve;
  if (name == "channels_last") return at::MemoryFormat::ChannelsLast;
  throw BadArgument("unknown memory format \"" + name + "\"");
}

at::Layout toLayout(const std::string& name) {
  if (name == "strided") return at::kStrided;
  if (name == "sparse_coo") return at::kSparse;
  throw BadArgument("unknown layout \"" + name + "\"");
}

IValue toIValue(napi_env env, napi_value value, const c10::TypePtr& type, int32_t length);

IValue toList(napi_env env, napi_value value, const c10::TypePtr& element, int32_t length) {
  auto& engine = engineOf(env);
  switch (element->kind()) {
    case TypeKind::TensorType: {
      c10::List<at::Tensor> list;
      for (const double handle : readNumbers(env, value, "a list of tensors")) list.push_back(engine.tensors.get(handle, "tensor"));
      return list;
    }
    case TypeKind::IntType:
    case TypeKind::SymIntType: {
      auto ints = readInts(env, value, "a list of integers");
      bool isArray = false;
      napi_is_array(env, value, &isArray);
      // A schema such as int[2] takes one number for all of its places.
      if (!isArray && length > 1) ints.assign(length, ints[0]);
      return c10::List<int64_t>(ints);
    }
    case TypeKind::FloatType: return c10::List<double>(readNumbers(env, value, "a list of numbers"));
    default: break;
  }
  uint32_t count;
  check(napi_get_array_length(env, value, &count), "a list");
  if (element->kind() == TypeKind::OptionalType) {
    c10::List<std::optional<at::Tensor>> list;
    for (uint32_t i = 0; i < count; ++i) {
      napi_value item;
      napi_get_element(env, value, i, &item);
      const auto kind = kindOf(env, item);
      if (kind == napi_null || kind == napi_undefined) list.push_back(std::nullopt);
      else list.push_back(engine.tensors.get(readNumber(env, item, "a tensor"), "tensor"));
    }
    return list;
  }
  c10::impl::GenericList list(element);
  for (uint32_t i = 0; i < count; ++i) {
    napi_value item;
    napi_get_element(env, value, i, &item);
    list.push_back(toIValue(env, item, element, 0));
  }
  return list;
}

IValue toIValue(napi_env env, napi_value value, const c10::TypePtr& type, int32_t length) {
  auto& engine = engineOf(env);
  switch (type->kind()) {
    case TypeKind::TensorType: return engine.tensors.get(readNumber(env, value, "a tensor"), "tensor");
    case TypeKind::OptionalType: {
      const auto kind = kindOf(env, value);
      if (kind == napi_null || kind == napi_undefined) return IValue();
      return toIValue(env, value, type->expectRef<c10::OptionalType>().getElementType(), length);
    }
    case TypeKind::IntType:
    case TypeKind::SymIntType: {
      const auto ints = readInts(env, value, "an integer");
      if (ints.size() != 1) throw BadArgument("expected an integer");
      return ints[0];
    }
    case TypeKind::FloatType: return readNumber(env, value, "a number");
    case TypeKind::BoolType: return readBoolean(env, value, "a boolean");
    case TypeKind::NumberType: return toScalar(env, value);
    case TypeKind::StringType: return readText(env, value, "a string");
    case TypeKind::ScalarTypeType: return readDtype(env, value);
    case TypeKind::DeviceObjType: return c10::Device(readText(env, value, "a device name"));
    case TypeKind::LayoutType: return toLayout(readText(env, value, "a layout name"));
    case TypeKind::MemoryFormatType: return toMemoryFormat(readText(env, value, "a memory format name"));
    case TypeKind::GeneratorType: return engine.generators.get(readNumber(env, value, "a generator"), "generator");
    case TypeKind::ListType: return toList(env, value, type->expectRef<c10::ListType>().getElementType(), length);
    default: throw BadArgument("arguments of type " + type->str() + " are not supported");
  }
}

napi_value fromIValue(napi_env env, IValue&& value) {
  if (value.isTensor()) return tensorNumber(env, std::move(value).toTensor());
  if (value.isNone()) return null(env);
  if (value.isInt()) return number(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return number(env, value.toDouble());
  if (value.isBool()) return boolean(env, value.toBool());
  if (value.isString()) return text(env, value.toStringRef());
  if (value.isScalar()) return number(env, value.toScalar().toDouble());
  if (value.isTensorList()) return tensorNumbers(env, value.toTensorVector());
  if (value.isList() || value.isTuple()) {
    const auto items = value.isList() ? value.toListRef().vec() : value.toTupleRef().elements().vec();
    napi_value result;
    napi_create_array_with_length(env, items.size(), &result);
    for (size_t i = 0; i < items.size(); ++i) napi_set_element(env, result, i, fromIValue(env, IValue(items[i])));
    return result;
  }
  throw BadArgument("results of type " + value.tagKind() + " are not supported");
}

/// resolve("aten::add", "Tensor") -> operator id, from 1 up.
napi_value resolve(napi_env env, napi_callback_info info) {
  std::string full = "resolve";
  try {
    Arguments args(env, info);
    const auto name = readText(env, args[0], "an operator name");
    const auto overload = readText(env, args[1], "an overload name");
    full = overload.empty() ? name : name + "." + overload;
    auto& engine = engineOf(env);
    const auto known = engine.operatorIds.find(full);
    if (known != engine.operatorIds.end()) return number(env, known->second);
    const auto handle = c10::Dispatcher::singleton().findSchema({name, overload});
    if (!handle) throw BadArgument("no such operator in this libtorch");
    const auto& returns = handle->schema().returns();
    bool writes = !returns.empty();
    for (const auto& result : returns) writes = writes && result.alias_info() != nullptr && result.alias_info()->isWrite();
    engine.operators.push_back({*handle, full, writes});
    const auto id = static_cast<uint32_t>(engine.operators.size());
    engine.operatorIds.emplace(full, id);
    return number(env, id);
  } catch (...) {
    return raise(env, full);
  }
}

/// What the arguments look like, for an error message: float32[2, 3], int64[4].
std::string describe(const torch::jit::Stack& stack) {
  std::string out;
  for (const auto& value : stack) {
    std::string part;
    if (value.isTensor()) part = shapeText(value.toTensor());
    else if (value.isTensorList()) part = "list of " + std::to_string(value.toTensorVector().size()) + " tensors";
    else continue;
    out += (out.empty() ? "" : ", ") + part;
  }
  return out;
}

/// call(operator id, ...arguments): missing or undefined arguments take the schema's defaults, null is None.
/// An operator that only writes to its arguments returns nothing: JavaScript holds those tensors already.
napi_value call(napi_env env, napi_callback_info info) {
  auto& engine = engineOf(env);
  const Operator* op = nullptr;
  const char* argument = nullptr;
  std::string shapes;
  torch::jit::Stack stack;
  try {
    Arguments args(env, info);
    const auto id = static_cast<size_t>(args.count ? readNumber(env, args[0], "an operator id") : 0);
    if (id < 1 || id > engine.operators.size()) throw BadArgument("unknown operator id");
    op = &engine.operators[id - 1];
    const auto& schema = op->handle.schema();
    const auto& wanted = schema.arguments();
    if (args.count - 1 > wanted.size()) throw BadArgument("too many arguments");
    stack.reserve(wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      argument = wanted[i].name().c_str();
      const bool given = i + 1 < args.count && kindOf(env, args[i + 1]) != napi_undefined;
      if (given) {
        stack.push_back(toIValue(env, args[i + 1], wanted[i].real_type(), wanted[i].N().value_or(0)));
      } else if (wanted[i].default_value()) {
        stack.push_back(*wanted[i].default_value());
      } else if (wanted[i].real_type()->kind() == TypeKind::OptionalType) {
        stack.emplace_back();
      } else {
        throw BadArgument("argument is missing");
      }
    }
    argument = nullptr;
    op->handle.callBoxed(stack);
    if (stack.empty() || op->writes) return nullptr;
    if (stack.size() == 1) return fromIValue(env, std::move(stack[0]));
    napi_value result;
    napi_create_array_with_length(env, stack.size(), &result);
    for (size_t i = 0; i < stack.size(); ++i) napi_set_element(env, result, i, fromIValue(env, std::move(stack[i])));
    return result;
  } catch (...) {
    std::string where = op ? op->name : "call";
    if (argument != nullptr) where += std::string(" (argument ") + argument + ")";
    // The failing kernel may have consumed its stack, so shapes are read from the arguments again.
    std::string known = argument == nullptr ? describe(stack) : "";
    if (!known.empty()) where += "(" + known + ")";
    return raise(env, where);
  }
}

/// schemas("aten::add") -> the schema strings of all overloads of a name, for the generator script.
napi_value schemas(napi_env env, napi_callback_info info) {
  return guarded(env, "schemas", [&]() -> napi_value {
    Arguments args(env, info);
    const auto wanted = readText(env, args[0], "an operator name");
    napi_value result;
    napi_create_array(env, &result);
    uint32_t count = 0;
    for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
      if (!wanted.empty() && name.name != wanted) continue;
      const auto handle = c10::Dispatcher::singleton().findOp(name);
      if (!handle || !handle->hasSchema()) continue;
      std::ostringstream schema;
      schema << handle->schema();
      napi_set_element(env, result, count++, text(env, schema.str()));
    }
    return result;
  });
}

}  // namespace

void defineOperators(napi_env env, napi_value exports) {
  define(env, exports, "resolve", resolve);
  define(env, exports, "call", call);
  define(env, exports, "schemas", schemas);
}

}  // namespace mahalo
