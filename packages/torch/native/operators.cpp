// The boxed operator call: any ATen operator by name, its arguments converted by the operator's own schema.
#include <cmath>
#include <sstream>

#include "engine.hpp"

namespace mahalo {
namespace {

using c10::IValue;
using c10::TypeKind;

c10::Scalar toScalar(napi_env env, napi_value value) {
  switch (kindOf(env, value)) {
    case napi_boolean: return c10::Scalar(readBoolean(env, value, "a boolean"));
    case napi_bigint: return c10::Scalar(readInt(env, value, "an integer"));
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
  if (element->kind() == TypeKind::OptionalType) {
    c10::List<std::optional<at::Tensor>> list;
    eachElement(env, value, "a list of tensors", [&](napi_value item) {
      if (isMissing(env, item)) list.push_back(std::nullopt);
      else list.push_back(engine.tensors.get(readNumber(env, item, "a tensor"), "tensor"));
    });
    return list;
  }
  c10::impl::GenericList list(element);
  eachElement(env, value, "a list", [&](napi_value item) { list.push_back(toIValue(env, item, element, 0)); });
  return list;
}

IValue toIValue(napi_env env, napi_value value, const c10::TypePtr& type, int32_t length) {
  auto& engine = engineOf(env);
  switch (type->kind()) {
    case TypeKind::TensorType: return engine.tensors.get(readNumber(env, value, "a tensor"), "tensor");
    case TypeKind::OptionalType: {
      if (isMissing(env, value)) return IValue();
      return toIValue(env, value, type->expectRef<c10::OptionalType>().getElementType(), length);
    }
    case TypeKind::IntType:
    case TypeKind::SymIntType: return readInt(env, value, "an integer");
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

/// Why a name does not resolve: no operator has it, or only other overloads of it are there.
std::string unknownOperator(const std::string& name) {
  std::string known;
  for (const auto& other : c10::Dispatcher::singleton().getAllOpNames()) {
    if (other.name != name) continue;
    known += (known.empty() ? "" : ", ") + (other.overload_name.empty() ? "\"\"" : other.overload_name);
  }
  if (known.empty()) return "no such operator in this libtorch";
  return "no such overload; " + name + " has " + known;
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
    if (!handle) throw BadArgument(unknownOperator(name));
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

/// What the tensors among the arguments look like, for an error message: float32[2, 3], [int64[4], int64[2]].
std::string describe(napi_env env, const Operator& op, const Arguments& args) {
  std::string out;
  const auto add = [&](const std::string& part) { out += (out.empty() ? "" : ", ") + part; };
  const auto& wanted = op.handle.schema().arguments();
  for (size_t i = 0; i < wanted.size() && i + 1 < args.count; ++i) {
    const auto text = wanted[i].real_type()->str();
    if (text.find("Tensor") == std::string::npos || !args.has(env, i + 1)) continue;
    const auto value = toIValue(env, args[i + 1], wanted[i].real_type(), 0);
    if (value.isTensor()) add(shapeText(value.toTensor()));
    if (!value.isTensorList()) continue;
    const auto tensors = value.toTensorVector();
    std::string list;
    for (size_t j = 0; j < tensors.size() && j < 8; ++j) list += (j ? ", " : "") + shapeText(tensors[j]);
    add("[" + list + (tensors.size() > 8 ? ", ... " + std::to_string(tensors.size()) + " in all]" : "]"));
  }
  return out;
}

/// As describe, in parentheses; empty where there is nothing to say, for this runs while an error is on its way.
std::string shapesOf(napi_env env, const Operator& op, const Arguments& args) noexcept {
  try {
    // The failing kernel may have consumed its stack, so the arguments are read again.
    const auto shapes = describe(env, op, args);
    return shapes.empty() ? "" : "(" + shapes + ")";
  } catch (...) {
    return "";
  }
}

/// call(operator id, ...arguments): missing or undefined arguments take the schema's defaults, null is None.
/// An operator that only writes to its arguments returns nothing: JavaScript holds those tensors already.
napi_value call(napi_env env, napi_callback_info info) {
  auto& engine = engineOf(env);
  const Operator* op = nullptr;
  const char* argument = nullptr;
  std::optional<Arguments> given;
  torch::jit::Stack stack;
  try {
    const auto& args = given.emplace(env, info);
    const double id = args.count ? readNumber(env, args[0], "an operator id") : 0;
    if (!(id >= 1 && id <= engine.operators.size()) || id != std::floor(id)) throw BadArgument("unknown operator id");
    op = &engine.operators[static_cast<size_t>(id) - 1];
    const auto& schema = op->handle.schema();
    const auto& wanted = schema.arguments();
    if (args.count - 1 > wanted.size()) throw BadArgument("too many arguments");
    stack.reserve(wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      argument = wanted[i].name().c_str();
      if (i + 1 < args.count && kindOf(env, args[i + 1]) != napi_undefined) {
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
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (op != nullptr && argument == nullptr && !pending) where += shapesOf(env, *op, *given);
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
