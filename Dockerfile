# metadescent on CPUs, with the versions that its tests run on.
#   docker build -t metadescent .
#   docker run --rm metadescent list
#   docker run --rm -v "$PWD/runs:/home/learner/runs" metadescent train quadratic --out runs/first
FROM python:3.11-slim

# The LSTM's kernels are compiled when they are first used.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir -c constraints.txt '.[data]' && rm -rf /build

# Compiled kernels and programs, tuned rates and data go into a home of the user's own.
RUN useradd --create-home learner
USER learner
WORKDIR /home/learner
ENTRYPOINT ["metadescent"]
CMD ["--help"]
