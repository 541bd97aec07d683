# A server for an export of src/export.py format=onnx, without PyTorch:
#   docker build -t maskwright .
#   docker run -p 127.0.0.1:8000:8000 -v $PWD/my_onnx_classifier:/model:ro maskwright run=/model
# and with PyTorch on the CPU, for runs: docker build --target torch -t maskwright-torch .
# -e MASKWRIGHT_API_KEY=... asks for a key.
FROM python:3.13-slim AS base
RUN useradd --create-home --uid 1000 maskwright
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY conf conf
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=3)"]
# host: those of the container, which its ports are published from
ENTRYPOINT ["python", "/app/src/serve.py", "host=0.0.0.0"]

FROM base AS torch
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.10,<2.14" && \
    pip install --no-cache-dir --editable ".[serve]"
USER maskwright
WORKDIR /home/maskwright

FROM base AS onnx
RUN pip install --no-cache-dir --no-deps --editable . && \
    pip install --no-cache-dir "hydra-core>=1.3.2,<1.4" "omegaconf>=2.3,<2.4" "pydantic>=2.8" \
        rich numpy tokenizers onnxruntime fastapi uvicorn
USER maskwright
WORKDIR /home/maskwright
