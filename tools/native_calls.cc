// Call a kernel of XLA's interface without XLA. Its buffers are blocks of exactly their size, so that
// a sanitizer detects an access beyond one.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "xla/ffi/api/c_api.h"

struct XLA_FFI_Error {
  std::string message;
};
struct XLA_FFI_ExecutionContext {
  int64_t num_threads;
  std::vector<std::thread> threads;
};

namespace {

XLA_FFI_Error* create(XLA_FFI_Error_Create_Args* args) { return new XLA_FFI_Error{args->message}; }
void message(XLA_FFI_Error_GetMessage_Args* args) { args->message = args->error->message.c_str(); }
void destroy(XLA_FFI_Error_Destroy_Args* args) { delete args->error; }
XLA_FFI_Error* schedule(XLA_FFI_ThreadPool_Schedule_Args* args) {
  args->ctx->threads.emplace_back(args->task, args->data);
  return nullptr;
}
XLA_FFI_Error* num_threads(XLA_FFI_ThreadPool_NumThreads_Args* args) {
  *args->num_threads = args->ctx->num_threads;
  return nullptr;
}

// What a call is told of one buffer. It lies in a block of its own, at `offset` bytes from where
// buffer `at` lies, or nowhere, where `at` is −1, at least 0, and −2.
struct Told {
  int64_t dtype, width, rank, at, offset;
  int64_t dims[8];

  int64_t bytes() const {
    int64_t product = width;
    for (int64_t i = 0; i < rank; ++i) product *= dims[i];
    return product;
  }
};

}  // namespace

// Returns 0 where the kernel has taken what it was given, 1 where it has refused and nothing was
// touched, 2 where it has refused and something was; `text`, of 256 bytes, has the reason.
extern "C" int64_t call(XLA_FFI_Handler* handler, float scale, bool has_scale, int64_t args,
                        int64_t rets, Told* told, int64_t threads, char* text) {
  const int64_t count = args + rets;
  std::vector<char*> blocks(count, nullptr);
  std::vector<std::string> before(count);
  std::vector<XLA_FFI_Buffer> buffers(count);
  std::vector<void*> places(count);
  for (int64_t i = 0; i < count; ++i) {
    Told& it = told[i];
    char* place = nullptr;
    if (it.at == -1) {
      const int64_t bytes = it.bytes();
      place = blocks[i] = static_cast<char*>(std::malloc(bytes));
      // Numbers from −1 to 1 where they are 32-bit floats, and something anywhere else.
      for (int64_t b = 0; b + 4 <= bytes; b += 4) {
        const float number = static_cast<float>((i * 7919 + b * 31) % 2001 - 1000) / 1000;
        std::memcpy(place + b, &number, 4);
      }
      for (int64_t b = bytes & ~int64_t{3}; b < bytes; ++b) place[b] = 1;
      before[i].assign(place, bytes);
    } else if (it.at >= 0) {
      place = static_cast<char*>(buffers[it.at].data) + it.offset;
    }
    buffers[i] = {XLA_FFI_Buffer_STRUCT_SIZE, nullptr, static_cast<XLA_FFI_DataType>(it.dtype),
                  place, it.rank, it.dims};
    places[i] = &buffers[i];
  }
  std::vector<XLA_FFI_ArgType> arg_types(args, XLA_FFI_ArgType_BUFFER);
  std::vector<XLA_FFI_RetType> ret_types(rets, XLA_FFI_RetType_BUFFER);
  XLA_FFI_AttrType attr_type = XLA_FFI_AttrType_SCALAR;
  XLA_FFI_ByteSpan name{"scale", 5}, *names = &name;
  XLA_FFI_Scalar scalar{XLA_FFI_DataType_F32, &scale};
  void* attr = &scalar;

  XLA_FFI_Api api{};
  api.struct_size = XLA_FFI_Api_STRUCT_SIZE;
  api.api_version = {XLA_FFI_Api_Version_STRUCT_SIZE, nullptr, XLA_FFI_API_MAJOR,
                     XLA_FFI_API_MINOR};
  api.XLA_FFI_Error_Create = create;
  api.XLA_FFI_Error_GetMessage = message;
  api.XLA_FFI_Error_Destroy = destroy;
  api.XLA_FFI_ThreadPool_Schedule = schedule;
  api.XLA_FFI_ThreadPool_NumThreads = num_threads;
  XLA_FFI_ExecutionContext context{threads, {}};

  XLA_FFI_CallFrame frame{};
  frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE;
  frame.api = &api;
  frame.ctx = &context;
  frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
  frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr, args, arg_types.data(), places.data()};
  frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr, rets, ret_types.data(), places.data() + args};
  frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr, has_scale ? 1 : 0, &attr_type, &names, &attr};

  XLA_FFI_Error* error = handler(&frame);
  for (std::thread& thread : context.threads) thread.join();
  int64_t result = error ? 1 : 0;
  if (error) std::strncpy(text, error->message.c_str(), 255);
  delete error;
  for (int64_t i = 0; i < count; ++i) {
    // A refusal touches nothing; what is taken changes no argument that is not a result's place.
    bool may_change = !result && i >= args;
    for (int64_t j = args; j < count && !result; ++j) may_change |= told[j].at == i;
    if (blocks[i] && !may_change && std::memcmp(blocks[i], before[i].data(), before[i].size())) {
      std::strncpy(text, result ? "it refuses and has written" : "it writes to an argument", 255);
      result = 2;
    }
    std::free(blocks[i]);
  }
  return result;
}
