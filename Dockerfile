# syntax=docker/dockerfile:1
# One image for Cloud Run, Knative, KServe, App Runner, Fly and Kubernetes: it binds $PORT, runs as nobody in
# particular, writes to /tmp only, and stops on SIGTERM.
#
#   docker build -t dynolite .
#   docker run -p 8080:8080 -e MODEL_URL=https://example.com/digits.tflite dynolite
#
# 3.11 has the smaller interpreter, tflite-runtime; on any later Python ai-edge-litert takes its place.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
COPY requirements.txt /tmp/requirements.txt
# The packages alone go on: pip itself stays behind.
RUN python -m pip install --no-cache-dir --require-hashes --target /packages -r /tmp/requirements.txt \
    && find /packages -type d -name tests -prune -exec rm -rf {} +

FROM python:${PYTHON}-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin dynolite
COPY --from=build /packages /packages
WORKDIR /app
# hooks.py is yours; the star lets it be missing.
COPY gunicorn.conf.py hooks.py* ./
COPY runtime ./runtime
# Compiled here, because nobody may write to /app later.
RUN python -m compileall -q runtime
# A model of your own that is to be in the image: COPY models ./models, and MODEL_URL=models/NAME.tflite.
COPY examples/digits/digits.tflite ./examples/digits/digits.tflite
ENV PATH=/packages/bin:$PATH \
    PYTHONPATH=/packages \
    PYTHONUNBUFFERED=1 \
    PORT=8080 \
    MODEL_URL=examples/digits/digits.tflite
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]
CMD ["gunicorn", "runtime.wsgi:app"]
