# A server for a run, with PyTorch on the CPU:
#   docker build -t maskwright .
#   docker run -p 127.0.0.1:8000:8000 -v $PWD/logs:/logs:ro maskwright run=/logs/mlm/2026-11-26/10-00-00
# -e MASKWRIGHT_API_KEY=... asks for a key.
FROM python:3.13-slim

RUN useradd --create-home --uid 1000 maskwright
WORKDIR /app
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.10,<2.14"
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY conf conf
RUN pip install --no-cache-dir --editable ".[serve]"

USER maskwright
WORKDIR /home/maskwright
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=3)"]
# host: those of the container, which its ports are published from
ENTRYPOINT ["python", "/app/src/serve.py", "host=0.0.0.0"]
