// judge BUNDLE IMAGE...: an exported bundle's verdict on each image, as `edgead run` gives it.
//
// A bundle is a manifest and a model from `image`, (1, H, W, 3) uint8 BGR, to `score` and `anomaly_map`: everything
// else is in the model. What's left to do is the resize rule, the engine and the threshold. The Python package also
// checks each file's SHA-256 and the digests of revisions; do that where the bundle arrives on your device.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#ifdef WITH_OPENCV
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#endif
#ifdef WITH_OPENVINO
#include <openvino/openvino.hpp>
#endif
#ifdef WITH_ONNXRUNTIME
#include <onnxruntime_cxx_api.h>
#endif

using Pixels = std::vector<uint8_t>;  // height x width x 3, BGR

struct Manifest {
    std::string model, engine, precision;
    int height, width;
    bool letterbox;
    double threshold;
};

// The newest revision's, which `edgead calibrate` wrote beside the manifest, or else the manifest's own.
double threshold_in_force(const std::string& bundle, const nlohmann::json& manifest) {
    auto thresholds = manifest.at("thresholds");
    for (int number = 1;; ++number) {
        char name[32];
        std::snprintf(name, sizeof name, "/revisions/%04d.json", number);
        std::ifstream file(bundle + name);
        if (!file) return thresholds.at("default").at("score");
        thresholds = nlohmann::json::parse(file).at("thresholds");
    }
}

Manifest read_manifest(const std::string& bundle) {
    std::ifstream file(bundle + "/manifest.json");
    if (!file) throw std::runtime_error(bundle + ": no manifest.json in this folder");
    const auto json = nlohmann::json::parse(file);
    if (json.contains("roi") && !json.at("roi").is_null())
        throw std::runtime_error(bundle + ": it has a region of interest, which this program doesn't apply");
    if (json.contains("windows") && !json.at("windows").is_null())
        throw std::runtime_error(bundle + ": judges frames in windows, which this program can't; use Python's edgead");
    const int format = json.at("format");  // 3 is 2 with a digest
    if (format != 2 && format != 3) throw std::runtime_error(bundle + ": a format that this program doesn't know");
    const auto& input = json.at("input");
    return {json.at("model"), json.at("engine"), json.at("engine_precision"), input.at("size").at(0),
            input.at("size").at(1), input.at("resize") == "letterbox", threshold_in_force(bundle, json)};
}

#ifdef WITH_OPENCV
// INTER_AREA averages only while both sides shrink, so a side that grows waits for a step of its own.
cv::Mat resized(cv::Mat frame, cv::Size size) {
    const cv::Size small(std::min(frame.cols, size.width), std::min(frame.rows, size.height));
    if (small != frame.size()) cv::resize(frame, frame, small, 0, 0, cv::INTER_AREA);
    if (small != size) cv::resize(frame, frame, size, 0, 0, cv::INTER_LINEAR);
    return frame;
}

cv::Mat resize_rule(const cv::Mat& frame, const Manifest& manifest) {
    const int64_t height = manifest.height, width = manifest.width, h = frame.rows, w = frame.cols;
    if (!manifest.letterbox) return resized(frame, cv::Size(manifest.width, manifest.height));
    const bool slim = h * width >= w * height;  // the frame is the slimmer one: its height fills the input
    const int inner_h = slim ? height : std::max<int64_t>(1, (2 * h * width + w) / (2 * w));
    const int inner_w = slim ? std::max<int64_t>(1, (2 * w * height + h) / (2 * h)) : width;
    cv::Mat canvas(manifest.height, manifest.width, CV_8UC3, cv::Scalar(104, 116, 124));
    const cv::Rect place((width - inner_w) / 2, (height - inner_h) / 2, inner_w, inner_h);
    resized(frame, place.size()).copyTo(canvas(place));
    return canvas;
}
#endif

// An image of any size where there's OpenCV, else the model's input itself as raw bytes (see to_raw.py).
Pixels read_input(const std::string& path, const Manifest& manifest) {
    const size_t bytes = size_t(manifest.height) * manifest.width * 3;
    if (path.size() > 4 && path.substr(path.size() - 4) == ".raw") {
        std::ifstream file(path, std::ios::binary);
        Pixels pixels((std::istreambuf_iterator<char>(file)), {});
        if (pixels.size() != bytes) throw std::runtime_error(path + ": not the input's size in raw BGR pixels");
        return pixels;
    }
#ifdef WITH_OPENCV
    const cv::Mat frame = cv::imread(path, cv::IMREAD_COLOR);
    if (frame.empty()) throw std::runtime_error(path + ": OpenCV can't read this image");
    const cv::Mat input = resize_rule(frame, manifest);
    return Pixels(input.datastart, input.dataend);
#else
    throw std::runtime_error(path + ": built without OpenCV, only .raw is read");
#endif
}

struct Engine {
    virtual ~Engine() = default;
    virtual float score(Pixels& image) = 0;
};

#ifdef WITH_OPENVINO
struct OpenVINO : Engine {
    ov::Shape shape;
    ov::CompiledModel compiled;
    ov::InferRequest request;

    OpenVINO(const std::string& file, const Manifest& m) : shape{1, size_t(m.height), size_t(m.width), 3} {
        const auto precision = m.precision == "bf16" ? ov::element::bf16 : ov::element::f32;
        compiled = ov::Core().compile_model(file, "CPU", ov::hint::inference_precision(precision),
                                            ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY));
        request = compiled.create_infer_request();
    }
    float score(Pixels& image) override {
        request.set_input_tensor(ov::Tensor(ov::element::u8, shape, image.data()));
        request.infer();
        return request.get_tensor("score").data<float>()[0];  // "anomaly_map" likewise: 1 x 1 x H x W floats
    }
};
#endif

#ifdef WITH_ONNXRUNTIME
struct OnnxRuntime : Engine {
    Ort::Env env;
    Ort::Session session{nullptr};
    std::vector<int64_t> shape;

    OnnxRuntime(const std::string& file, const Manifest& m) : shape{1, m.height, m.width, 3} {
        session = Ort::Session(env, file.c_str(), Ort::SessionOptions());
    }
    float score(Pixels& image) override {
        const char *inputs[] = {"image"}, *outputs[] = {"score"};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        const auto tensor = Ort::Value::CreateTensor<uint8_t>(memory, image.data(), image.size(), shape.data(), 4);
        return session.Run(Ort::RunOptions(), inputs, &tensor, 1, outputs, 1)[0].GetTensorData<float>()[0];
    }
};
#endif

std::unique_ptr<Engine> open(const std::string& bundle, const Manifest& manifest) {
    const std::string file = bundle + "/" + manifest.model;
#ifdef WITH_OPENVINO
    if (manifest.engine == "openvino") return std::make_unique<OpenVINO>(file, manifest);
#endif
#ifdef WITH_ONNXRUNTIME
    if (manifest.engine == "onnxruntime") return std::make_unique<OnnxRuntime>(file, manifest);
#endif
    throw std::runtime_error(bundle + ": built without " + manifest.engine + ", which this bundle is for");
}

int main(int count, char** words) try {
    // ONNX Runtime 1.32 brings telemetry on Linux; this is read before its environment is made.
#ifndef _WIN32
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);
#endif
    if (count < 3) throw std::runtime_error("usage: judge BUNDLE IMAGE...");
    const Manifest manifest = read_manifest(words[1]);
    const auto engine = open(words[1], manifest);
    for (int i = 2; i < count; ++i) {
        Pixels image = read_input(words[i], manifest);
        const float score = engine->score(image);
        if (!std::isfinite(score)) throw std::runtime_error(words[1] + std::string(": the model yields no number"));
        std::printf("%s\t%.9g\t%s\n", words[i], score, score > manifest.threshold ? "anomalous" : "good");
    }
} catch (const std::exception& error) {
    std::fprintf(stderr, "judge: %s\n", error.what());
    return 1;
}
